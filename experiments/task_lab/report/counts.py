"""The three counts that must agree, what explains a difference, and who did the work.

Pure. Totals come from the ledger; Prometheus is counted from raw counter values, never from
`increase`, which extrapolates and turns whole numbers into fractions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from task_lab.check.evidence import Evidence
from task_lab.check.submissions import class_submissions, three_counts
from task_lab.report.records import Metric, Phase, Series

# One worker with more of the work than this means that the others had none to do.
LARGEST_FAIR_SHARE = 0.6


def reconcile(evidence: Evidence) -> dict[str, Any]:
    """`counts` of terminal tasks as each of the three saw them, and what explains a difference.

    A submission without a clear answer is unknown: found in the ledger it is `recovered`,
    otherwise `absent`. `prometheus` is None when its counters were not read.
    """
    counts = three_counts(evidence)
    submissions = class_submissions(evidence)
    client, ledger, prometheus = (counts[name] for name in ("client", "ledger", "prometheus"))
    return {
        "counts": {"client": client, "ledger": ledger, "prometheus": prometheus},
        "reconciliation": {
            "client_minus_ledger": client - ledger,
            "prometheus_minus_ledger": None if prometheus is None else prometheus - ledger,
            "accepted": submissions.accepted,
            "rejected": submissions.rejected,
            "recovered": submissions.recovered,
            "absent": submissions.absent,
            "lost": submissions.lost,
            "unexpected": submissions.unexpected,
            "not_terminal": len(evidence.tasks) - ledger,
            "notes": counts["notes"],
        },
    }


def gain_between(series: Series, start: float, end: float) -> float:
    """What a raw counter gained from `start` to `end` (unix seconds), by its last known values."""
    known = np.isfinite(series.values)
    at, values = series.at[known], series.values[known]
    inside = values[(at >= start) & (at <= end)]
    before = values[at < start]
    first = before[-1:] if before.size else np.zeros(1)
    gained = np.diff(np.concatenate([first, inside]))
    return float(np.where(gained >= 0, gained, inside).sum())


def worker_shares(phases: Sequence[Phase], processed: Metric | None) -> list[dict[str, Any]]:
    """Each worker's share of the tasks finished while a drain ran with several of them.

    `fair` is False when one had more than 60 %: then the speed-up says nothing about workers.
    """
    if processed is None:
        return []
    found = []
    for phase in phases:
        if phase.kind != "drain" or phase.workers < 2:
            continue
        gains: dict[str, float] = {}
        for series in processed.series:
            gain = gain_between(series, phase.started_at, phase.ended_at)
            if gain > 0:
                name = series.labels.get("instance", "")
                gains[name] = gains.get(name, 0.0) + gain
        total = sum(gains.values())
        if total > 0:
            shares = sorted((float(f"{g / total:.4g}") for g in gains.values()), reverse=True)
            found.append(
                {
                    "phase": phase.name,
                    "workload": phase.workload,
                    "workers": phase.workers,
                    "shares": shares,
                    "fair": shares[0] <= LARGEST_FAIR_SHARE,
                }
            )
    return found
