"""The three counts that must agree: the client's acknowledgements, the ledger, Prometheus.

Pure. Totals come from the ledger; Prometheus is counted from raw counter values, never from
`increase`, which extrapolates and turns whole numbers into fractions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from task_platform.domain.transitions import TERMINAL

from task_lab.report.records import Metric, Phase, Series

# One worker with more of the work than this means that the others had none to do.
LARGEST_FAIR_SHARE = 0.6


def reconcile(
    history: pd.DataFrame, tasks: pd.DataFrame, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """`counts` of terminal tasks as each of the three saw them, and what explains a difference.

    A submission without a clear answer is `unknown`: found in the ledger it is `recovered`,
    otherwise `absent`. `prometheus` is None when its counters were not collected.
    """
    outcomes = history["outcome"].value_counts()
    unknown = history[history["outcome"] == "unknown"]
    recovered = int(unknown["task_id"].isin(tasks["id"]).sum())
    terminal = int(tasks["state"].isin([str(s) for s in TERMINAL]).sum())
    client = int(outcomes.get("accepted", 0))
    processed = _total(metrics.get("processed_raw"))
    failed = _total(metrics.get("failed_raw"))
    prometheus = None if processed is None else processed + (failed or 0)
    return {
        "counts": {"client": client, "ledger": terminal, "prometheus": prometheus},
        "reconciliation": {
            "ledger_minus_client": terminal - client,
            "prometheus_minus_ledger": None if prometheus is None else prometheus - terminal,
            "client_rejected": int(outcomes.get("rejected", 0)),
            "client_unknown": len(unknown),
            "recovered": recovered,
            "absent": len(unknown) - recovered,
            "ledger_rows": len(tasks),
            "not_terminal": len(tasks) - terminal,
            "unexpected": int(tasks["phase"].isna().sum()),
            "prometheus_processed": processed,
            "prometheus_failed": failed,
        },
    }


def counter_increase(series: Series, *, start: float, step_s: float) -> float:
    """What a raw counter gained over its series, resets included.

    A series that first shows more than two steps after `start` was born inside the window, at 0:
    what it counted before its first scrape is part of the gain.
    """
    known = np.isfinite(series.values)
    at, values = series.at[known], series.values[known]
    if values.size == 0:
        return 0.0
    gained = np.diff(values)
    since_reset = np.where(gained >= 0, gained, values[1:]).sum()
    born_inside = at[0] > start + 2 * step_s
    return float(since_reset + (values[0] if born_inside else 0.0))


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


def _total(metric: Metric | None) -> int | None:
    if metric is None or not metric.series:
        return None
    return round(
        sum(counter_increase(s, start=metric.start, step_s=metric.step_s) for s in metric.series)
    )
