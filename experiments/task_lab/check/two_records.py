"""Whether the two records of a witnessed run tell the same: the table of tasks, and the witness."""

from __future__ import annotations

from task_lab.check.evidence import Evidence
from task_lab.check.verdict import Check, Verdict, failed, passed, some


def check_records_agree(evidence: Evidence) -> Check:
    """State, attempts and fence of every task are the same in both, which are read one by one.

    Some checks look at one and some at the other: only together do they look at one run.
    """
    name = "records_agree"
    if evidence.witness is None:
        return Check(name, Verdict.UNKNOWN, "the run kept no witness of its tasks' lives")
    columns = (evidence.tasks[column] for column in ("id", "state", "attempts", "fence"))
    ledger = {(str(i), str(s), int(a), int(f)) for i, s, a, f in zip(*columns, strict=True)}
    witness = {(row.id, row.state.value, row.attempts, row.fence) for row in evidence.witness.tasks}
    differing = sorted({row[0] for row in ledger ^ witness})
    if differing:
        detail = f"{len(differing)} tasks are not the same in both records: {some(differing)}"
        return failed(name, detail, expected=0, observed=len(differing))
    return passed(name, f"{len(ledger)} tasks are the same in both records")
