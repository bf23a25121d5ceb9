"""A run's history judged in Jepsen's manner, from its files alone: history.jsonl, witness.json.

Absent: operations that a run's spec does not describe; a history of chaos is judged elsewhere.
"""

from __future__ import annotations

from typing import Literal

import pandas as pd

from task_lab.check.evidence import Evidence
from task_lab.check.histories import Judgement, judge_history
from task_lab.check.histories_ledger import Operation
from task_lab.check.verdict import Check, Verdict, passed
from task_lab.history import key_prefix
from task_lab.load.mix import mix_of
from task_lab.spec import Part

_NAME = "history"
# What the platform gives a submission that says nothing of retries.
_DEFAULT_RETRIES = 3
_OUTCOMES: dict[str, Literal["ok", "failed", "unknown"]] = {
    "accepted": "ok",
    "rejected": "failed",
    "unknown": "unknown",
}
# What must be 0 in a good history, beside its checks.
_BAD = ("lost", "unexpected", "duplicated", "stuck", "double_finished")


def check_history(evidence: Evidence) -> Check:
    """Every operation against every record of the ledger; see `judge_history`.

    observed: its counts. FAIL tells what each failed check found.
    """
    if evidence.witness is None:
        return Check(_NAME, Verdict.UNKNOWN, "the run kept no witness of its tasks' lives")
    judgement = judge_kept(evidence)
    counts = judgement.counts
    wrong = [one for one in judgement.checks if one.verdict is not Verdict.PASS]
    if wrong:
        told = "; ".join(f"{one.name}: {one.detail}" for one in wrong)
        return Check(_NAME, judgement.verdict, told, dict.fromkeys(_BAD, 0), counts)
    told = ", ".join(f"{name} {counts[name]}" for name in ("ok", "failed", "unknown"))
    found = ", ".join(f"{name} {counts[name]}" for name in ("recovered", "absent", *_BAD))
    detail = f"{len(judgement.checks)} checks of {sum_of(counts)} operations: {told}; {found}"
    return passed(_NAME, detail, expected=dict.fromkeys(_BAD, 0), observed=counts)


def judge_kept(evidence: Evidence) -> Judgement:
    """The judgement of the run's whole history."""
    assert evidence.witness is not None
    return judge_history(operations_of(evidence), evidence.witness)


def operations_of(evidence: Evidence) -> list[Operation]:
    """Every submission as an operation: its key and its part say what it was to become."""
    phases = {phase.name: phase for phase in evidence.phases()}
    parts: dict[str, list[Part]] = {}
    mixes: dict[str, list[int]] = {}
    for name, phase in phases.items():
        workload = evidence.spec.workload(phase.workload)
        parts[name], mixes[name] = workload.parts, mix_of(workload, phase, evidence.spec.seed)
    history = evidence.history
    columns = ("phase", "index", "outcome", "task_id")
    operations = []
    for phase_name, index, outcome, task_id in zip(*(history[c] for c in columns), strict=True):
        mix = mixes[phase_name]
        part = parts[phase_name][mix[index] if mix else 0]
        operations.append(
            Operation(
                key=f"{key_prefix(phase_name)}{index}",
                task_type=part.task_type,
                payload=part.payload,
                max_retries=_DEFAULT_RETRIES if part.max_retries is None else part.max_retries,
                outcome=_OUTCOMES[outcome],
                # A task known by its key alone is the checker's to find.
                task_id=task_id if outcome == "accepted" and not pd.isna(task_id) else None,
                expected=part.ends,
            )
        )
    return operations


def sum_of(counts: dict[str, int]) -> int:
    """How many operations there were."""
    return counts["ok"] + counts["failed"] + counts["unknown"]
