"""Which part of its workload each task of the ledger is, so that its end can be foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from task_lab.check.evidence import Evidence
from task_lab.check.submissions import workloads_of
from task_lab.load.mix import mix_of
from task_lab.spec import Part


def parts_of(evidence: Evidence) -> pd.Series[Any]:
    """The `Part` of each task, None where nobody is known to have sent it, in the ledger's order.

    Of a workload with several parts, the task's number in its phase tells which: the mix is drawn
    from the run's seed.
    """
    tasks = evidence.tasks
    parts_by_workload = {one.name: one.parts for one in evidence.spec.workloads}
    mixes = _mixes(evidence)
    indexes = _indexes(evidence)
    found: list[Part | None] = []
    for workload, phase, index in zip(workloads_of(evidence), tasks["phase"], indexes, strict=True):
        parts = parts_by_workload.get(workload, [])
        if len(parts) < 2:
            found.append(parts[0] if parts else None)
        elif pd.isna(index):
            found.append(None)
        else:
            found.append(parts[mixes[phase][int(index)]])
    return pd.Series(found, index=tasks.index, dtype=object)


def _mixes(evidence: Evidence) -> dict[str, Sequence[int]]:
    workloads = {one.name: one for one in evidence.spec.workloads}
    return {
        phase.name: mix_of(workloads[phase.workload], phase, evidence.spec.seed)
        for phase in evidence.phases()
    }


def _indexes(evidence: Evidence) -> pd.Series[Any]:
    """Each task's number in its phase; NaN where it is not known."""
    sent = evidence.history.dropna(subset="task_id").drop_duplicates("task_id")
    found: pd.Series[Any] = evidence.tasks["id"].map(sent.set_index("task_id")["index"])
    return found
