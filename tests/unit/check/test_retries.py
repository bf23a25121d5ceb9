"""Retries and dead letters: a run as foretold passes, and every single difference is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.check.backoff import band_s, policy_of, witnessed_retries
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.foretold import deviations, foretold_parts
from task_lab.check.retries import RETRIES_CHECKS, check_retries_counted
from task_lab.check.selection import checks_of, run_checks
from task_lab.check.verdict import Verdict, answer_of, combine
from task_platform.domain.retry import RetryPolicy, backoff_s
from task_platform.domain.task import State

from tests.retry_runs import retries_evidence
from tests.unit.check.evidence import with_submission, with_task

GOOD = retries_evidence(tasks=120)
PARTS = foretold_parts(GOOD)
Sabotage = Callable[[Evidence], Evidence]
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


def row_of(part: str) -> int:
    """The first row of the ledger whose task is of that part."""
    ids = [task_id for task_id, found in PARTS.items() if found.name == part]
    return int(GOOD.tasks.index[GOOD.tasks["id"] == ids[0]][0])


def id_of(part: str) -> str:
    return str(GOOD.tasks.loc[row_of(part), "id"])


def verdicts(evidence: Evidence) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in run_checks(evidence)}


def test_a_run_as_foretold_passes_every_check() -> None:
    found = verdicts(GOOD)
    assert set(found.values()) == {PASS}
    assert len(found) == len(checks_of("retries_and_dlq"))
    assert {"foretold", "retries_counted", "dead_letters_counted", "backoff"} <= set(found)


def test_the_mix_of_every_phase_has_its_shares_to_the_task() -> None:
    load = GOOD.history[GOOD.history["phase"] == "mix-w2-load"]
    counted = Counter(PARTS[task_id].group for task_id in load["task_id"])
    assert counted == {"good": 96, "flaky": 18, "poison": 6}


def with_failure(evidence: Evidence, task_id: str, attempt: int, /, **fields: Any) -> Evidence:
    """One row of the failed attempts changed."""
    assert evidence.failures is not None
    failures = evidence.failures.copy()
    chosen = (failures["task_id"] == task_id) & (failures["attempt"] == attempt)
    assert chosen.sum() == 1
    for name, value in fields.items():
        failures.loc[chosen, name] = value
    return replace(evidence, failures=failures)


def without_failure(evidence: Evidence, task_id: str, attempt: int) -> Evidence:
    assert evidence.failures is not None
    failures = evidence.failures
    chosen = (failures["task_id"] == task_id) & (failures["attempt"] == attempt)
    assert chosen.sum() == 1
    return replace(evidence, failures=failures[~chosen])


def with_extra_failure(evidence: Evidence, task_id: str) -> Evidence:
    assert evidence.failures is not None
    own = evidence.failures[evidence.failures["task_id"] == task_id]
    more = own.iloc[[-1]].assign(fence=own["fence"].max() + 1, attempt=own["attempt"].max() + 1)
    return replace(evidence, failures=pd.concat([evidence.failures, more], ignore_index=True))


def one_attempt_too_many(evidence: Evidence) -> Evidence:
    """A poison task that ran once more than it may; its records agree with each other."""
    task_id, row = id_of("poison"), row_of("poison")
    changed = with_task(evidence, row, attempts=6, fence=6)
    changed = with_failure(changed, task_id, 5, outcome="retried")
    return with_counter(with_extra_dead(changed, task_id), "retried", 1)


def with_extra_dead(evidence: Evidence, task_id: str) -> Evidence:
    changed = with_extra_failure(evidence, task_id)
    return with_failure(changed, task_id, 6, outcome="dead")


def with_counter(evidence: Evidence, counter: str, by: int, **fields: float) -> Evidence:
    """A counter of the only worker changed."""
    assert evidence.prometheus is not None
    assert evidence.retried is not None
    counts = evidence.retried if counter == "retried" else evidence.prometheus[counter]
    (instance, old), *_ = counts.items()
    new = {instance: replace(old, last=old.last + by, **fields)}
    if counter == "retried":
        return replace(evidence, retried=new)
    return replace(evidence, prometheus={**evidence.prometheus, counter: new})


def without_letter(evidence: Evidence, task_id: str) -> Evidence:
    letters = evidence.dead_letters
    return replace(evidence, dead_letters=letters[letters["task_id"] != task_id])


def hidden(evidence: Evidence, task_id: str) -> Evidence:
    """A dead letter that is on no list, in no queue, counted by nobody: the task alone tells."""
    changed = without_letter(evidence, task_id)
    changed = replace(changed, dlq_ids=[one for one in changed.dlq_ids if one != task_id])
    return with_counter(changed, "failed", -1)


def with_letter(evidence: Evidence, task_id: str, **fields: Any) -> Evidence:
    letters = evidence.dead_letters.copy()
    for name, value in fields.items():
        letters.loc[letters["task_id"] == task_id, name] = value
    return replace(evidence, dead_letters=letters)


def recovered_poison(evidence: Evidence) -> Evidence:
    """A poison task that succeeded, and of which nothing says otherwise."""
    task_id = id_of("poison")
    changed = with_task(evidence, row_of("poison"), state="SUCCEEDED", result="null")
    changed = without_failure(hidden(changed, task_id), task_id, 5)
    return with_counter(changed, "processed", 1)


def exchanged(evidence: Evidence) -> Evidence:
    """Two tasks with each other's lives: no total tells."""
    one, other = row_of("flaky-1"), row_of("flaky-2")
    tasks = evidence.tasks.copy()
    columns = ["attempts", "fence", "result"]
    tasks.loc[[one, other], columns] = tasks.loc[[other, one], columns].to_numpy()
    assert evidence.failures is not None
    names = {id_of("flaky-1"): id_of("flaky-2"), id_of("flaky-2"): id_of("flaky-1")}
    owners = evidence.failures["task_id"].replace(names)
    return replace(evidence, tasks=tasks, failures=evidence.failures.assign(task_id=owners))


def with_step(evidence: Evidence, after: State, **fields: Any) -> Evidence:
    """The first retry's return (QUEUED) or the claim after it (PROCESSING), noted otherwise."""
    assert evidence.witness is not None
    task_id = id_of("flaky-2")
    steps = list(evidence.witness.transitions)
    fence = 1 if after is State.QUEUED else 2
    place = next(
        i
        for i, step in enumerate(steps)
        if (step.task_id, step.after, step.fence) == (task_id, after, fence)
    )
    steps[place] = replace(steps[place], **fields)
    return replace(evidence, witness=replace(evidence.witness, transitions=steps))


def without_step(evidence: Evidence) -> Evidence:
    assert evidence.witness is not None
    gone = (id_of("flaky-2"), State.PROCESSING, State.QUEUED, 2)
    kept = [
        step
        for step in evidence.witness.transitions
        if (step.task_id, step.before, step.after, step.fence) != gone
    ]
    return replace(evidence, witness=replace(evidence.witness, transitions=kept))


SABOTAGES: list[tuple[str, Verdict, str, Sabotage]] = [
    ("foretold", FAIL, "one attempt too many", one_attempt_too_many),
    ("retries_counted", FAIL, "one attempt too many", one_attempt_too_many),
    (
        "foretold",
        FAIL,
        "one attempt too few",
        lambda e: without_failure(with_task(e, row_of("flaky-2"), attempts=2), id_of("flaky-2"), 2),
    ),
    ("foretold", FAIL, "a poison task that succeeded", recovered_poison),
    ("dead_letters_counted", FAIL, "a poison task that succeeded", recovered_poison),
    ("foretold", FAIL, "a hidden dead letter", lambda e: hidden(e, id_of("poison"))),
    ("dead_letters_counted", FAIL, "a hidden dead letter", lambda e: hidden(e, id_of("poison"))),
    (
        "foretold",
        FAIL,
        "a dead letter without its message",
        lambda e: replace(e, dlq_ids=[one for one in e.dlq_ids if one != id_of("poison")]),
    ),
    (
        "dead_letters_counted",
        FAIL,
        "a message twice in the queue",
        lambda e: replace(e, dlq_ids=[*e.dlq_ids, id_of("poison")]),
    ),
    (
        "foretold",
        FAIL,
        "a message of a task that succeeded, in place of another's",
        lambda e: replace(e, dlq_ids=[id_of("good"), *e.dlq_ids[1:]]),
    ),
    (
        "foretold",
        FAIL,
        "a dead letter with another reason",
        lambda e: with_letter(e, id_of("poison-final"), reason="RuntimeError"),
    ),
    (
        "foretold",
        FAIL,
        "a dead letter that somebody resolved",
        lambda e: with_letter(e, id_of("poison"), resolved_at=2e9),
    ),
    (
        "retries_counted",
        FAIL,
        "a retry counted as a success",
        lambda e: with_counter(with_counter(e, "retried", -1), "processed", 1),
    ),
    (
        "counts_agree",
        FAIL,
        "a retry counted as a success",
        lambda e: with_counter(with_counter(e, "retried", -1), "processed", 1),
    ),
    (
        "retries_counted",
        FAIL,
        "a retry that the ledger forgot",
        lambda e: without_failure(e, id_of("flaky-1"), 1),
    ),
    (
        "foretold",
        FAIL,
        "a retry that the ledger forgot",
        lambda e: without_failure(e, id_of("flaky-1"), 1),
    ),
    (
        "foretold",
        FAIL,
        "a retry recorded as a lost worker",
        lambda e: with_failure(e, id_of("flaky-1"), 1, outcome="worker_lost"),
    ),
    (
        "foretold",
        FAIL,
        "an attempt with another's number",
        lambda e: with_failure(e, id_of("flaky-2"), 2, attempt=1),
    ),
    (
        "foretold",
        FAIL,
        "two attempts under one fence",
        lambda e: with_failure(e, id_of("flaky-2"), 2, fence=1),
    ),
    ("foretold", FAIL, "two tasks with each other's lives", exchanged),
    (
        "foretold",
        FAIL,
        "the last attempt that could save it was not made",
        lambda e: with_task(e, row_of("flaky-3"), state="FAILED", result=None),
    ),
    (
        "foretold",
        FAIL,
        "a good task that ended otherwise",
        lambda e: with_task(e, row_of("good"), result='{"sum": 16}'),
    ),
    (
        "foretold",
        FAIL,
        "a result nobody can read",
        lambda e: with_task(e, row_of("good"), result='{"sum": 15'),
    ),
    (
        "foretold",
        FAIL,
        "other retries than were asked for",
        lambda e: with_task(e, row_of("good"), max_retries=4),
    ),
    (
        "foretold",
        FAIL,
        "a claim without a return",
        lambda e: with_task(e, row_of("good"), fence=2),
    ),
    ("foretold", FAIL, "a lost task", lambda e: replace(e, tasks=e.tasks.drop(index=3))),
    (
        "foretold",
        UNKNOWN,
        "failed attempts were not kept",
        lambda e: replace(e, failures=None),
    ),
    (
        "foretold",
        UNKNOWN,
        "nothing accepted",
        lambda e: replace(e, history=e.history.assign(outcome="unknown", task_id=None)),
    ),
    (
        "backoff",
        FAIL,
        "a wait cut short",
        lambda e: with_step(e, State.QUEUED, due_in_s=0.2499),
    ),
    (
        "backoff",
        FAIL,
        "a wait stretched",
        lambda e: with_step(e, State.QUEUED, due_in_s=0.5001),
    ),
    (
        "backoff",
        FAIL,
        "a retry that began before it was due",
        lambda e: with_step(e, State.PROCESSING, due_in_s=0.001),
    ),
    ("backoff", FAIL, "a retry nobody witnessed", without_step),
    ("backoff", UNKNOWN, "no witness", lambda e: replace(e, witness=None)),
    (
        "backoff",
        UNKNOWN,
        "a witness that noted no due times",
        lambda e: with_step(e, State.QUEUED, due_in_s=None),
    ),
    (
        "retries_counted",
        UNKNOWN,
        "Prometheus said nothing",
        lambda e: replace(e, retried=None),
    ),
    (
        "dead_letters_counted",
        UNKNOWN,
        "Prometheus said nothing",
        lambda e: replace(e, prometheus=None),
    ),
    (
        "retries_counted",
        UNKNOWN,
        "the counter fell",
        lambda e: with_counter(e, "retried", 0, resets=1),
    ),
    (
        "retries_counted",
        UNKNOWN,
        "no scrape after the last task",
        lambda e: replace(e, events=e.events[:-1]),
    ),
    ("retries_counted", FAIL, "one extrapolated", lambda e: with_counter(e, "retried", 1)),
    ("dead_letters_counted", FAIL, "one uncounted", lambda e: with_counter(e, "failed", -1)),
]


@pytest.mark.parametrize(
    ("check", "verdict", "sabotage"),
    [pytest.param(c, v, s, id=f"{c}: {what}") for c, v, what, s in SABOTAGES],
)
def test_sabotage_is_seen_by_the_check(check: str, verdict: Verdict, sabotage: Sabotage) -> None:
    of_name = {one.__name__: one for one in checks_of("retries_and_dlq")}
    assert answer_of(of_name[f"check_{check}"], sabotage(GOOD)).verdict == verdict


@pytest.mark.parametrize("sabotage", [one_attempt_too_many, recovered_poison, exchanged])
def test_sabotage_turns_the_whole_run_red(sabotage: Sabotage) -> None:
    assert combine(verdicts(sabotage(GOOD)).values()) == FAIL


def test_a_difference_names_the_task_its_part_and_both_sides() -> None:
    (found,) = deviations(with_task(GOOD, row_of("poison"), attempts=4))
    assert str(found) == f"{id_of('poison')} (poison): attempts 4, not 5"


def test_b1_what_was_counted_before_the_first_scrape_is_told_and_explains_the_difference() -> None:
    assert GOOD.retried is not None
    retries = GOOD.retried["worker-1"].last
    late = replace(GOOD, retried={"worker-1": InstanceCount(3, retries, 0)})
    check = check_retries_counted(late)
    assert check.verdict == PASS
    assert "3 came before a worker's first scrape" in check.detail
    assert check.observed["prometheus"] == retries - 3


def test_b2_a_count_is_the_raw_difference_never_rounded_up_from_a_rate() -> None:
    """Five retries between two scrapes: `increase` says six."""
    assert GOOD.retried is not None
    five = replace(GOOD.retried["worker-1"], last=GOOD.retried["worker-1"].last + 1)
    assert check_retries_counted(replace(GOOD, retried={"worker-1": five})).verdict == FAIL


def given_back(evidence: Evidence, row: int) -> Evidence:
    """A claim that came back unrun, as when a broker's restart has a message delivered again."""
    assert evidence.witness is not None
    task_id = str(evidence.tasks.loc[row, "id"])
    attempts = PARTS[task_id].attempts
    steps = list(evidence.witness.transitions)
    claim = next(s for s in steps if s.task_id == task_id and s.after is State.PROCESSING)
    moved = [
        replace(s, fence=s.fence + 1) if s.task_id == task_id and s.fence >= 1 else s for s in steps
    ]
    back = replace(claim, before=State.PROCESSING, after=State.QUEUED, attempts=0, due_in_s=0.0)
    at = steps.index(claim)
    transitions = [*moved[:at], claim, back, *moved[at:]]
    changed = with_task(evidence, row, fence=attempts + 1)
    assert changed.failures is not None
    own = changed.failures["task_id"] == task_id
    fences = changed.failures["fence"] + own
    witness = evidence.witness
    return replace(
        changed,
        failures=changed.failures.assign(fence=fences),
        given_back={"worker-1": InstanceCount(0, 1, 0)},
        witness=replace(
            witness,
            transitions=transitions,
            tasks=[replace(o, fence=o.fence + (o.id == task_id)) for o in witness.tasks],
            failures=[replace(o, fence=o.fence + (o.task_id == task_id)) for o in witness.failures],
        ),
    )


@pytest.mark.parametrize("part", ["good", "flaky-2", "poison"])
def test_c16_a_redelivery_changes_neither_the_attempts_nor_the_verdict(part: str) -> None:
    """Attempts are the ledger's own; the broker's count of deliveries is nobody's evidence."""
    changed = given_back(GOOD, row_of(part))
    assert changed.tasks.loc[row_of(part), "fence"] == PARTS[id_of(part)].attempts + 1
    assert {check.name: check.verdict for check in run_checks(changed)} == verdicts(GOOD)


def test_a_submission_without_an_answer_is_foretold_by_its_key() -> None:
    unanswered = with_submission(GOOD, row_of("poison"), outcome="unknown", status=None)
    assert {answer_of(check, unanswered).verdict for check in RETRIES_CHECKS} == {PASS}


def test_only_what_was_sent_is_foretold() -> None:
    refused = with_submission(GOOD, row_of("good"), outcome="rejected", task_id=None)
    assert len(foretold_parts(refused)) == len(PARTS) - 1


def test_retries_are_witnessed_with_their_waits_and_their_lateness() -> None:
    retries = witnessed_retries(GOOD)
    assert retries is not None
    assert len(retries) == sum(part.attempts - 1 for part in PARTS.values())
    assert np.allclose(retries["late_s"], 0.02)
    assert np.allclose(retries["due_at"] - retries["retried_at"], retries["wait_s"])


def test_the_back_off_is_the_platform_s_own_unless_the_definition_sets_it() -> None:
    assert policy_of({}) == RetryPolicy()
    settings = {"TASK_PLATFORM_RETRY_BASE_S": "0.5", "TASK_PLATFORM_RETRY_CAP_S": "3"}
    policy = policy_of(settings)
    assert [band_s(policy, n) for n in (1, 2, 3, 4, 90)] == [
        (0.25, 0.5),
        (0.5, 1.0),
        (1.0, 2.0),
        (1.5, 3.0),
        (1.5, 3.0),
    ]


@given(
    base_s=st.floats(0.01, 10),
    cap_s=st.floats(10, 1000),
    attempt=st.integers(1, 200),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_every_wait_that_can_be_drawn_is_within_its_bounds(
    base_s: float, cap_s: float, attempt: int, uniform: float
) -> None:
    policy = RetryPolicy(base_s=base_s, cap_s=cap_s)
    low, high = band_s(policy, attempt)
    assert low <= backoff_s(policy, attempt, uniform) <= high
    assert high == pytest.approx(2 * low)
