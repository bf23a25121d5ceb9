"""Every check against a good run, which it must pass, and against sabotage, which it must see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pandas as pd
import pytest
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.invariants import CHECKS, check_phases_complete
from task_lab.check.selection import run_checks
from task_lab.check.submissions import class_submissions, three_counts
from task_lab.check.verdict import Verdict, combine
from task_lab.spec import load_definition, resolve

from tests.unit.check.evidence import (
    failures_of,
    good_evidence,
    with_failed_task,
    with_submission,
    with_task,
)

GOOD = good_evidence()
Sabotage = Callable[[Evidence], Evidence]


def verdicts(evidence: Evidence) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in run_checks(evidence)}


def test_a_good_run_passes_every_check() -> None:
    assert set(verdicts(GOOD).values()) == {Verdict.PASS}
    assert len(verdicts(GOOD)) == len(CHECKS)


def drop_task(evidence: Evidence, row: int = 3) -> Evidence:
    return replace(evidence, tasks=evidence.tasks.drop(index=row))


def add_task(evidence: Evidence, **fields: Any) -> Evidence:
    extra = evidence.tasks.iloc[[0]].assign(id="stranger", phase=None, workload=None, **fields)
    return replace(evidence, tasks=pd.concat([evidence.tasks, extra], ignore_index=True))


def drop_event(evidence: Evidence, phase: str) -> Evidence:
    gone = ("phase_ended", phase)
    kept = [e for e in evidence.events if (e["event"], e.get("phase")) != gone]
    return replace(evidence, events=kept)


def stuck_phase(evidence: Evidence) -> Evidence:
    *events, last, settled = evidence.events
    return replace(evidence, events=[*events, {**last, "drained": False}, settled])


def with_counter(evidence: Evidence, counter: str, count: InstanceCount) -> Evidence:
    assert evidence.prometheus is not None
    instances = {**evidence.prometheus[counter], "a:1": count}
    return replace(evidence, prometheus={**evidence.prometheus, counter: instances})


def short_phase(evidence: Evidence) -> Evidence:
    history = evidence.history
    return replace(evidence, history=history[history.index != history.index[-1]])


def with_generator(evidence: Evidence, cpu_share: float = 0.4, silent_in: str = "") -> Evidence:
    said = {"cpu_share": cpu_share, "duration_s": 1.0}
    names = [phase.name for phase in evidence.phases() if phase.name != silent_in]
    return replace(evidence, generator=dict.fromkeys(names, said))


def first_task(evidence: Evidence) -> dict[str, Any]:
    return dict(evidence.tasks.iloc[0])


def with_given_back(evidence: Evidence, count: int) -> Evidence:
    return replace(evidence, given_back={"a:1": InstanceCount(0, count, 0)})


def with_wrong_recovered(evidence: Evidence) -> Evidence:
    """The first submission has no answer; the row it left is known by nobody, and wrong."""
    unanswered = with_submission(evidence, 0, outcome="unknown", status=None, task_id=None)
    return with_task(unanswered, 0, phase=None, workload=None, result='{"sum": 666}')


FAIL, UNKNOWN, INVALID = Verdict.FAIL, Verdict.UNKNOWN, Verdict.INVALID
SABOTAGES: list[tuple[str, Verdict, str, Sabotage]] = [
    ("phases_complete", UNKNOWN, "a phase never ended", lambda e: drop_event(e, "sum-w3-r02")),
    ("phases_complete", UNKNOWN, "a phase sent too little", short_phase),
    ("phases_complete", FAIL, "a phase did not drain", stuck_phase),
    (
        "submissions_answered",
        FAIL,
        "a valid submission refused",
        lambda e: with_submission(e, 0, outcome="rejected", status=422, task_id=None),
    ),
    (
        "submissions_answered",
        UNKNOWN,
        "nothing accepted",
        lambda e: replace(e, history=e.history.assign(outcome="unknown", task_id=None)),
    ),
    ("none_lost", FAIL, "an accepted task has no row", drop_task),
    ("none_unexpected", FAIL, "a row nobody sent", add_task),
    (
        "accepted_once",
        FAIL,
        "two submissions, one task",
        lambda e: with_submission(e, 1, task_id=e.history.loc[0, "task_id"]),
    ),
    (
        "accepted_once",
        FAIL,
        "one task, two rows",
        lambda e: replace(e, tasks=pd.concat([e.tasks, e.tasks.iloc[[0]]])),
    ),
    *(
        ("all_terminal", FAIL, f"a task is {state}", lambda e, s=state: with_task(e, 5, state=s))
        for state in ("QUEUED", "PROCESSING", "DONE")
    ),
    ("all_terminal", FAIL, "no end time", lambda e: with_task(e, 5, finished_at=None)),
    ("results_right", FAIL, "a wrong sum", lambda e: with_task(e, 0, result='{"sum": 14}')),
    ("results_right", FAIL, "15.0 for 15", lambda e: with_task(e, 0, result='{"sum": 15.0}')),
    ("results_right", FAIL, "too much", lambda e: with_task(e, 0, result='{"sum":15,"x":1}')),
    ("results_right", FAIL, "no result", lambda e: with_task(e, 0, result=None)),
    ("results_right", FAIL, "a failed task", with_failed_task),
    ("results_right", FAIL, "cancelled", lambda e: with_task(e, 0, state="CANCELLED")),
    (
        "results_right",
        FAIL,
        "another workload's result",
        lambda e: with_task(e, 0, result='{"slept_s": 0.02}'),
    ),
    ("results_right", UNKNOWN, "unreadable", lambda e: with_task(e, 0, result='{"sum": 15')),
    (
        "attempts_within_limit",
        FAIL,
        "too many attempts",
        lambda e: with_task(e, 0, attempts=5, fence=5),
    ),
    ("attempts_within_limit", FAIL, "ran uncharged", lambda e: with_task(e, 0, attempts=0)),
    ("attempts_within_limit", FAIL, "never claimed", lambda e: with_task(e, 0, fence=0)),
    ("attempts_within_limit", FAIL, "never started", lambda e: with_task(e, 0, started_at=None)),
    *(
        (
            "attempts_within_limit",
            FAIL,
            f"{state} without a claim",
            lambda e, s=state: with_task(e, 0, state=s, attempts=0, fence=0, started_at=None),
        )
        for state in ("SUCCEEDED", "FAILED")
    ),
    (
        "claimed_once",
        FAIL,
        "every task claimed three times",
        lambda e: replace(e, tasks=e.tasks.assign(fence=3)),
    ),
    (
        "claimed_once",
        FAIL,
        "run twice, charged twice, nothing on record",
        lambda e: with_given_back(with_task(e, 0, fence=2, attempts=2), 5),
    ),
    (
        "claimed_once",
        FAIL,
        "more than were given back",
        lambda e: with_given_back(with_task(with_task(e, 0, fence=2), 1, fence=2), 1),
    ),
    (
        "claimed_once",
        FAIL,
        "another task's reason",
        lambda e: replace(
            with_task(e, 0, fence=2), failures=failures_of([("00000001", 1, "worker_lost")])
        ),
    ),
    (
        "claimed_once",
        UNKNOWN,
        "nobody counted what was given back",
        lambda e: replace(with_task(e, 0, fence=2), given_back=None),
    ),
    (
        "claimed_once",
        UNKNOWN,
        "the count of what was given back fell",
        lambda e: replace(with_task(e, 0, fence=2), given_back={"a:1": InstanceCount(0, 0, 1)}),
    ),
    (
        "claimed_once",
        UNKNOWN,
        "reasons were not kept",
        lambda e: replace(with_task(e, 0, fence=2), failures=None),
    ),
    (
        "times_in_order",
        FAIL,
        "created before it was sent",
        lambda e: with_task(e, 0, created_at=first_task(e)["created_at"] - 1e6),
    ),
    (
        "times_in_order",
        FAIL,
        "created before it was sent, by a clock that is ahead",
        lambda e: replace(e, clock_skew_s=2.0),
    ),
    (
        "results_right",
        FAIL,
        "a wrong result of a submission without an answer",
        with_wrong_recovered,
    ),
    (
        "times_in_order",
        FAIL,
        "started before it was created",
        lambda e: with_task(e, 0, started_at=first_task(e)["created_at"] - 0.0005),
    ),
    (
        "times_in_order",
        FAIL,
        "finished before it started",
        lambda e: with_task(e, 0, finished_at=first_task(e)["started_at"] - 0.0005),
    ),
    (
        "times_in_order",
        FAIL,
        "finished before it was sent",
        lambda e: with_submission(e, 0, sent_at=first_task(e)["finished_at"] + 1),
    ),
    (
        "dlq_is_failed",
        FAIL,
        "a failed task without a message",
        lambda e: replace(with_failed_task(e), dlq_ids=[]),
    ),
    (
        "dlq_is_failed",
        FAIL,
        "a failed task without a dead letter",
        lambda e: replace(with_failed_task(e), dead_letters=e.dead_letters),
    ),
    (
        "dlq_is_failed",
        FAIL,
        "the same message twice",
        lambda e: replace(with_failed_task(e), dlq_ids=["00000000"] * 2),
    ),
    (
        "dlq_is_failed",
        FAIL,
        "a message of a task that did not fail",
        lambda e: replace(e, dlq_ids=["00000000"]),
    ),
    (
        "dlq_is_failed",
        FAIL,
        "a message of a task that was replayed",
        lambda e: replace(
            with_failed_task(e),
            dead_letters=pd.DataFrame({"task_id": ["00000000"], "resolved_at": [2_000.0]}),
        ),
    ),
    ("counts_agree", FAIL, "the ledger has fewer", lambda e: with_task(e, 0, state="QUEUED")),
    (
        "counts_agree",
        FAIL,
        "Prometheus has one more",
        lambda e: with_counter(e, "failed", InstanceCount(0, 1, 0)),
    ),
    (
        "counts_agree",
        FAIL,
        "the client has fewer",
        lambda e: with_submission(e, 0, outcome="rejected"),
    ),
    ("counts_agree", UNKNOWN, "Prometheus said nothing", lambda e: replace(e, prometheus=None)),
    (
        "counts_agree",
        UNKNOWN,
        "a counter fell",
        lambda e: with_counter(e, "failed", InstanceCount(0, 0, 2)),
    ),
    (
        "counts_agree",
        UNKNOWN,
        "no scrape after the last task",
        lambda e: replace(e, events=e.events[:-1]),
    ),
    (
        "generator_not_the_limit",
        INVALID,
        "the generator was at its limit",
        lambda e: replace(e, generator_problems=["sum with 1 workers: 99% of a core"]),
    ),
    (
        "generator_not_the_limit",
        INVALID,
        "it used a whole core, and nobody had drawn the conclusion",
        lambda e: with_generator(e, cpu_share=0.99),
    ),
    (
        "generator_not_the_limit",
        UNKNOWN,
        "it said nothing of a phase",
        lambda e: with_generator(e, silent_in=e.phases()[-1].name),
    ),
    (
        "phases_complete",
        UNKNOWN,
        "tasks of a phase that nobody planned",
        lambda e: with_submission(e, 0, phase="sum-w9-r01"),
    ),
]


@pytest.mark.parametrize(
    ("check", "verdict", "sabotage"),
    [pytest.param(c, v, s, id=f"{c}: {what}") for c, v, what, s in SABOTAGES],
)
def test_f7_every_sabotage_turns_its_check_red(
    check: str, verdict: Verdict, sabotage: Sabotage
) -> None:
    sabotaged = verdicts(sabotage(GOOD))
    assert sabotaged[check] is verdict
    assert combine(sabotaged.values()) is not Verdict.PASS


def test_f7_every_check_is_sabotaged() -> None:
    assert {check for check, _, _, _ in SABOTAGES} == set(verdicts(GOOD))


def test_a_generator_that_said_something_of_every_phase_passes() -> None:
    assert verdicts(with_generator(GOOD))["generator_not_the_limit"] is Verdict.PASS


@pytest.mark.parametrize("lost", [{"result": None}, {"state": "PROCESSING", "result": None}])
def test_what_was_found_can_be_written_as_json(lost: dict[str, Any]) -> None:
    for check in run_checks(with_task(GOOD, 0, **lost)):
        json.dumps(asdict(check), allow_nan=False)


def test_a_ladder_that_was_never_climbed_is_unknown() -> None:
    asked = {"per_s": 10.0, "step_s": 1.0, "fractions": "0.5,1"}
    spec = resolve(load_definition("saturation"), asked)
    (warmup,) = spec.phases()
    ended = {"event": "phase_ended", "phase": warmup.name, "drained": True}
    history = pd.DataFrame({"phase": [warmup.name] * warmup.tasks})
    check = check_phases_complete(replace(GOOD, spec=spec, events=[ended], history=history))
    assert check.verdict is Verdict.UNKNOWN
    assert "the ladder of sleep with 1 workers" in check.detail


def test_a_check_that_crashes_is_unknown_and_spares_the_others() -> None:
    broken = replace(GOOD, events=[{"event": "phase_ended"}])
    found = {check.name: check for check in run_checks(broken)}
    assert found["phases_complete"].verdict is Verdict.UNKNOWN
    assert "KeyError" in found["phases_complete"].detail
    assert found["none_lost"].verdict is Verdict.PASS


def test_a_task_that_properly_failed_satisfies_the_dead_letter_queue() -> None:
    failed = with_failed_task(GOOD)
    assert verdicts(failed)["dlq_is_failed"] is Verdict.PASS
    assert verdicts(failed)["attempts_within_limit"] is Verdict.PASS


@pytest.mark.parametrize(
    "good",
    [
        with_failed_task(GOOD),
        replace(
            with_task(GOOD, 0, fence=3, attempts=2),
            failures=failures_of([("00000000", 1, "worker_lost"), ("00000000", 2, "retried")]),
        ),
        with_given_back(with_task(GOOD, 0, fence=3), 2),
        replace(GOOD, failures=None, given_back=None),
    ],
    ids=["retried", "lost and retried", "given back", "nothing to explain"],
)
def test_a_claim_with_a_reason_on_record_is_no_double(good: Evidence) -> None:
    assert verdicts(good)["claimed_once"] is Verdict.PASS


def test_a_clock_that_is_behind_creates_nothing_too_early() -> None:
    behind = GOOD.tasks.assign(
        **{name: GOOD.tasks[name] - 2 for name in ("created_at", "started_at")}
    )
    evidence = replace(GOOD, tasks=behind)
    assert verdicts(evidence)["times_in_order"] is Verdict.FAIL
    assert verdicts(replace(evidence, clock_skew_s=-2.0))["times_in_order"] is Verdict.PASS


def test_a_row_of_another_type_is_not_what_an_unanswered_submission_left() -> None:
    other = with_task(with_wrong_recovered(GOOD), 0, task_type="echo")
    classed = class_submissions(other)
    assert (classed.recovered, classed.absent, classed.unexpected) == (0, 1, 1)


def test_a_replayed_failure_is_no_longer_expected_in_the_queue() -> None:
    resolved = pd.DataFrame({"task_id": ["00000000"], "resolved_at": [2_000.0]})
    replayed = replace(with_failed_task(GOOD), dead_letters=resolved, dlq_ids=[])
    assert verdicts(replayed)["dlq_is_failed"] is Verdict.PASS


def unanswered(evidence: Evidence, rows: range, absent: range) -> Evidence:
    for row in rows:
        evidence = with_submission(evidence, row, outcome="unknown", status=None, task_id=None)
    return replace(evidence, tasks=evidence.tasks.drop(index=list(absent)))


def test_f8_submissions_without_an_answer_are_recovered_or_absent_never_lost() -> None:
    evidence = unanswered(GOOD, range(20, 30), absent=range(20, 26))
    for row in (1, 2):
        evidence = with_task(evidence, row, fence=2)
    classed = class_submissions(evidence)
    assert (classed.lost, classed.unexpected) == (0, 0)
    assert (classed.recovered, classed.absent, classed.duplicated) == (4, 6, 2)
    assert verdicts(evidence)["submissions_answered"] is Verdict.PASS


def test_a_recovered_submission_explains_a_row_of_its_own_time_only() -> None:
    late = GOOD.history["answered_at"].max() + 1_000
    evidence = add_task(unanswered(GOOD, range(0, 1), absent=range(0, 1)), created_at=late)
    classed = class_submissions(evidence)
    assert (classed.recovered, classed.absent, classed.unexpected) == (0, 1, 1)


def test_more_rows_than_submissions_without_an_answer_are_unexpected() -> None:
    evidence = add_task(unanswered(GOOD, range(0, 1), absent=range(0)))
    classed = class_submissions(evidence)
    assert (classed.recovered, classed.unexpected) == (1, 1)


def test_recovered_submissions_count_as_the_clients() -> None:
    counts = three_counts(unanswered(GOOD, range(20, 30), absent=range(0)))
    assert counts["client"] == counts["ledger"] == counts["prometheus"] == len(GOOD.tasks)


def test_b1_what_was_counted_before_the_first_scrape_is_named_and_explains_the_difference() -> None:
    assert GOOD.prometheus is not None
    late = InstanceCount(40, GOOD.prometheus["processed"]["a:1"].last, 0)
    evidence = with_counter(GOOD, "processed", late)
    counts = three_counts(evidence)
    assert counts["prometheus"] == counts["ledger"] - 40
    assert counts["notes"] == ["40 were counted before a worker's first scrape"]
    assert verdicts(evidence)["counts_agree"] is Verdict.PASS
