"""Judging a history in Jepsen's manner: operations that were ok, failed or unknown, and a ledger.

Pure. The records are in `histories_ledger`, read back by `task_lab.collect.witness`; the checks
stand in modules of their own: what clients saw, the life of each task, what tasks
came to and left behind, replays of the dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from task_platform.domain.task import State

from task_lab.check import histories_effects as effects
from task_lab.check import histories_lives as lives
from task_lab.check import histories_operations as operations
from task_lab.check import histories_replays as replays
from task_lab.check import histories_results as results
from task_lab.check.histories_index import History
from task_lab.check.histories_ledger import NOTHING_ELSE, Ledger, Operation, Permitted
from task_lab.check.verdict import Check, Verdict, answer_of, combine

__all__ = ["CHECKS", "Judgement", "Ledger", "Operation", "Permitted", "judge_history"]


@dataclass(frozen=True)
class Judgement:
    """What can be said of a history.

    counts: ok, failed, unknown (operations); recovered, absent (unknown ones with and without a
    task); lost, unexpected, duplicated, stuck, double_finished (each 0 in a good history); tasks,
    succeeded, dead (rows, terminal ones by state); claims (times a task was taken up).
    """

    verdict: Verdict
    checks: list[Check]
    counts: dict[str, int]

    @property
    def failed(self) -> set[str]:
        """Names of the checks that failed."""
        return {check.name for check in self.checks if check.verdict is Verdict.FAIL}


CHECKS: Sequence[Callable[[History], Check]] = (
    operations.check_something_proven,
    operations.check_none_lost,
    operations.check_unknown_at_most_once,
    operations.check_failed_left_nothing,
    operations.check_none_unexpected,
    operations.check_one_key_one_task,
    operations.check_keys_kept,
    operations.check_rows_as_submitted,
    operations.check_all_terminal,
    operations.check_ended_as_expected,
    lives.check_witness_complete,
    lives.check_finished_once,
    lives.check_transitions_legal,
    lives.check_attempts_within_limit,
    lives.check_attempts_charged,
    lives.check_failures_consistent,
    results.check_results_right,
    effects.check_effects_once,
    effects.check_started_once,
    effects.check_dead_letters_agree,
    replays.check_dead_letters_resolved,
    replays.check_replays_right,
    effects.check_nothing_left,
)


def judge_history(
    operations: Sequence[Operation], ledger: Ledger, permitted: Permitted = NOTHING_ELSE
) -> Judgement:
    """Every check's answer and their combined verdict.

    permitted: what else may have happened; unless it says so, nothing did. A check that crashes is
    UNKNOWN, and so is a history without any ok operation: nothing was proven.
    """
    history = History(operations, ledger, permitted)
    checks = [answer_of(check, history) for check in CHECKS]
    verdict = combine(check.verdict for check in checks)
    return Judgement(verdict, checks, _counts(history, checks))


def _counts(history: History, checks: Sequence[Check]) -> dict[str, int]:
    unknown = history.with_outcome("unknown")
    recovered = sum(history.task_of(one) is not None for one in unknown)
    found = {check.name: int(check.observed or 0) for check in checks}
    states = [row.state for row in history.ledger.tasks]
    return {
        "ok": len(history.with_outcome("ok")),
        "failed": len(history.with_outcome("failed")),
        "unknown": len(unknown),
        "recovered": recovered,
        "absent": len(unknown) - recovered,
        "lost": found["none_lost"],
        "unexpected": found["none_unexpected"],
        "duplicated": found["one_key_one_task"] + found["unknown_at_most_once"],
        "stuck": found["all_terminal"],
        "double_finished": found["finished_once"],
        "tasks": len(states),
        "succeeded": states.count(State.SUCCEEDED),
        "dead": states.count(State.FAILED),
        "claims": sum(row.fence for row in history.ledger.tasks),
    }
