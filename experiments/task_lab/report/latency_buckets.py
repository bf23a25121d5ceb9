"""What the workers' own histogram says of queue wait: the bucket that holds each percentile.

Pure. Shown beside the ledger's percentiles and never in their place: a histogram knows only that a
percentile lies somewhere between two bounds.
"""

import math
from collections.abc import Sequence
from typing import Any

from task_lab import stats
from task_lab.report.counts import gain_between
from task_lab.report.points import PERCENTILES
from task_lab.report.records import Metric, Phase


def bucket_bounds(phases: Sequence[Phase], buckets: Metric | None) -> list[dict[str, Any]]:
    """Per point, the bounds (seconds) of the bucket of each percentile over its rounds.

    An upper bound of None is the last bucket, which has none. Empty without the histogram.
    """
    if buckets is None or not buckets.series:
        return []
    by_bound = sorted((float(s.labels["le"]), s) for s in buckets.series)
    found = []
    for workload, workers in dict.fromkeys((p.workload, p.workers) for p in phases):
        rounds = [
            p
            for p in phases
            if p.kind == "round" and (p.workload, p.workers) == (workload, workers)
        ]
        counts = [
            sum(gain_between(s, p.started_at, p.ended_at) for p in rounds) for _, s in by_bound
        ]
        bounds = [bound for bound, _ in by_bound]
        held = {n: stats.bucket_percentile(bounds, counts, q) for n, q in PERCENTILES.items()}
        found.append(
            {
                "workload": workload,
                "workers": workers,
                "bounds": {
                    name: None if pair is None else [pair[0], _finite(pair[1])]
                    for name, pair in held.items()
                },
            }
        )
    return found


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
