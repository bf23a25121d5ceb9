"""A run that was disturbed on purpose: what is explained passes, to the last task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pandas as pd
import pytest
from task_lab.check.disturbed import (
    check_claims_witnessed,
    check_counts_explained,
    check_run_twice,
)
from task_lab.check.evidence import Evidence
from task_lab.check.histories_ledger import Ledger, Transition
from task_lab.check.kept_history import check_history, operations_of
from task_lab.check.raw_counters import gained, last_seen_at
from task_lab.check.selection import run_checks
from task_lab.check.verdict import Check, Verdict
from task_platform.domain.task import State

from ...disturbed import HELD, TASKS, Disturbed, history, id_of, tasks, witness


def good(**changes: Any) -> Evidence:
    return Disturbed(changes=changes).evidence()


def test_a_disturbed_run_in_which_all_is_explained_passes_every_check() -> None:
    red = [check for check in run_checks(good()) if check.verdict is not Verdict.PASS]
    assert red == []


def test_its_checks_are_those_of_every_run_and_the_history_and_the_faults() -> None:
    names = [check.name for check in run_checks(good())]
    assert {"none_lost", "claimed_once", "counts_agree", "history", "faults_bit"} <= {*names}
    assert len(set(names)) == len(names)


def test_a_killed_worker_may_take_what_it_counted_since_its_last_scrape() -> None:
    check = check_counts_explained(Disturbed(missing=3).evidence())
    assert check.verdict is Verdict.PASS
    assert "of the 3 that Prometheus lacks" in check.detail
    assert "finished between its last scrape and its death" in check.detail
    assert check.observed["at_most"] >= 3


def test_more_than_could_have_been_lost_since_the_last_scrape_is_a_failure() -> None:
    check = check_counts_explained(Disturbed(missing=40).evidence())
    assert check.verdict is Verdict.FAIL
    assert "missing from Prometheus, not 40" in check.detail


def test_more_in_prometheus_than_in_the_ledger_is_a_failure() -> None:
    assert check_counts_explained(Disturbed(missing=-1).evidence()).verdict is Verdict.FAIL


def test_nothing_may_be_missing_where_no_fault_took_it() -> None:
    quiet = [one for one in good().events if not one["event"].startswith("fault_injected")]
    evidence = replace(Disturbed(missing=1).evidence(), events=quiet)
    assert check_counts_explained(evidence).verdict is Verdict.FAIL


def test_counters_that_nobody_read_are_unknown() -> None:
    assert check_counts_explained(good(prometheus=None)).verdict is Verdict.UNKNOWN


def test_claims_after_returns_that_were_seen_are_explained() -> None:
    check = check_claims_witnessed(good())
    assert (check.verdict, check.observed["claimed_again"]) == (Verdict.PASS, len(HELD))


def unseen_return(ledger: Ledger) -> Ledger:
    kept = [one for one in ledger.transitions if not _is_return(one, HELD[0])]
    return replace(ledger, transitions=kept)


def _is_return(step: Transition, index: int) -> bool:
    return step.task_id == id_of(index) and (step.before, step.after) == (
        State.PROCESSING,
        State.QUEUED,
    )


def test_a_second_claim_without_a_return_is_a_failure() -> None:
    check = check_claims_witnessed(good(witness=unseen_return(witness())))
    assert check.verdict is Verdict.FAIL
    assert id_of(HELD[0]) in check.detail


def with_unknown(*indexes: int) -> pd.DataFrame:
    """The history in which some submissions never got an answer."""
    changed = history()
    changed["status"] = changed["status"].astype(object)
    changed.loc[list(indexes), ["outcome", "status"]] = ["unknown", None]
    return changed


def without_tasks(ledger: Ledger, *indexes: int) -> Ledger:
    """The ledger that never saw some of the tasks."""
    gone = {id_of(index) for index in indexes}

    def kept(records: Any) -> list[Any]:
        return [one for one in records if one.task_id not in gone]

    return replace(
        ledger,
        tasks=[one for one in ledger.tasks if one.id not in gone],
        keys={key: ids for key, ids in ledger.keys.items() if not gone & {*ids}},
        effect_log=kept(ledger.effect_log),
        effects=kept(ledger.effects),
        transitions=kept(ledger.transitions),
    )


def test_f8_unknown_submissions_may_come_out_and_tasks_run_twice_are_told_apart() -> None:
    unknown, absent = range(10), range(6)
    kept = without_tasks(witness(), *absent)
    check = check_history(good(history=with_unknown(*unknown), witness=kept))
    assert check.verdict is Verdict.PASS, check.detail
    counts = check.observed
    assert (counts["ok"], counts["unknown"]) == (TASKS - 10, 10)
    assert (counts["recovered"], counts["absent"]) == (4, 6)
    assert (counts["lost"], counts["unexpected"], counts["duplicated"]) == (0, 0, 0)
    # Two tasks ran twice: claims, not tasks, and no effect, are what there is more of.
    assert counts["claims"] == counts["tasks"] + 2


@pytest.mark.parametrize(
    ("sabotage", "finding"),
    [
        (lambda ledger: without_tasks(ledger, 7), "none_lost"),
        (lambda ledger: replace(ledger, keys={}), "keys_kept"),
        (lambda ledger: replace(ledger, effects=ledger.effects[1:]), "effects_once"),
        (
            lambda ledger: replace(ledger, failures=[replace(ledger.failures[0], attempt=9)]),
            "failures_consistent",
        ),
        (lambda ledger: replace(ledger, dlq_ids=[id_of(3)]), "dead_letters_agree"),
        (
            lambda ledger: replace(
                ledger, effect_log=[*ledger.effect_log, replace(ledger.effect_log[1], fence=2)]
            ),
            "effects_once",
        ),
    ],
)
def test_f7_a_history_with_one_thing_wrong_fails_and_says_which(
    sabotage: Callable[[Ledger], Ledger], finding: str
) -> None:
    check: Check = check_history(good(witness=sabotage(witness())))
    assert check.verdict is Verdict.FAIL
    assert f"{finding}: " in check.detail


def test_f8_whether_tasks_may_be_run_twice_is_a_parameter() -> None:
    allowed = check_run_twice(good())
    assert (allowed.verdict, allowed.observed) == (Verdict.PASS, 2)
    spec = good().spec.model_copy(update={"run_twice": "forbidden"})
    refused = check_run_twice(good(spec=spec))
    assert (refused.verdict, refused.expected, refused.observed) == (Verdict.FAIL, 0, 2)
    assert id_of(HELD[0]) in refused.detail


def test_a_run_without_a_witness_proves_nothing_of_its_history() -> None:
    assert check_history(good(witness=None)).verdict is Verdict.UNKNOWN
    assert check_claims_witnessed(good(witness=None)).verdict is Verdict.UNKNOWN


def test_a_witness_reads_back_from_its_json() -> None:
    ledger = witness()
    assert msgspec.json.decode(msgspec.json.encode(ledger), type=Ledger) == ledger


def test_an_operation_is_what_its_part_says_under_the_key_that_it_was_sent_with() -> None:
    first = operations_of(good())[0]
    assert first.key == "effect-w2-load-0"
    assert (first.task_type, first.outcome, first.task_id) == ("effect", "ok", id_of(0))


def test_a_counter_that_fell_began_again_from_zero() -> None:
    assert gained([(0, 5.0), (1, 8.0), (2, None), (3, 2.0), (4, 6.0)]) == 3 + 2 + 4
    assert gained([]) == 0


def test_a_counter_was_last_seen_before_it_was_gone() -> None:
    samples = [(1.0, 5.0), (2.0, 6.0), (3.0, None), (9.0, 0.0)]
    assert last_seen_at(samples, 4.0) == 2.0
    assert len(tasks()) == TASKS


def verdict_of(name: str, evidence: Evidence) -> Verdict:
    return next(one.verdict for one in run_checks(evidence) if one.name == name)


def test_f5_a_plan_with_fewer_faults_than_were_asked_for_is_unknown() -> None:
    asked = good().spec.model_copy(update={"faults": "kill worker-1 at 10; kill relay at 20"})
    assert verdict_of("faults_bit", good(spec=asked)) is Verdict.UNKNOWN


def test_two_records_that_do_not_tell_the_same_of_a_task_are_a_failure() -> None:
    ledger = witness()
    first, *others = ledger.tasks
    differing = replace(ledger, tasks=[replace(first, fence=first.fence + 1), *others])
    assert verdict_of("records_agree", good(witness=differing)) is Verdict.FAIL
    assert verdict_of("records_agree", good(witness=None)) is Verdict.UNKNOWN
