"""Judging a history in Jepsen's manner: operations that were ok, failed or unknown, and a ledger.

Pure. The records are in `histories_ledger`, read back by `task_lab.collect.witness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from task_lab.check.histories_ledger import Ledger, Operation
from task_lab.check.verdict import Check, Verdict

__all__ = ["Judgement", "Ledger", "Operation", "judge_history"]


@dataclass(frozen=True)
class Judgement:
    """What can be said of a history.

    counts: ok, failed, unknown (operations); recovered, absent (unknown ones with and without a
    task); lost, unexpected, duplicated, stuck, double_finished (each 0 in a good history); tasks,
    succeeded, dead (rows, terminal ones by state).
    """

    verdict: Verdict
    checks: list[Check]
    counts: dict[str, int]


def judge_history(operations: Sequence[Operation], ledger: Ledger) -> Judgement:
    """Every check's answer and their combined verdict. A check that crashes is UNKNOWN."""
    raise NotImplementedError
