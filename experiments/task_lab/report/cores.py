"""How many cores each part of the platform kept busy while a point was measured.

Pure. From the processes' own CPU counters, so database, broker and Prometheus are not in it.
"""

from collections.abc import Sequence
from typing import Any

from task_lab.report.counts import gain_between
from task_lab.report.records import Metric, Phase


def cores_used(phases: Sequence[Phase], cpu_seconds: Metric | None) -> list[dict[str, Any]]:
    """Mean cores by job, one record per point and kind of phase (`round`, `drain`).

    A drain counts from the moment its workers were let go.
    """
    if cpu_seconds is None or not cpu_seconds.series:
        return []
    keys = dict.fromkeys((p.workload, p.workers, p.kind) for p in phases if p.kind != "warmup")
    return [
        {
            "workload": workload,
            "workers": workers,
            "kind": kind,
            "cores": _mean_cores(
                [p for p in phases if (p.workload, p.workers, p.kind) == (workload, workers, kind)],
                cpu_seconds,
            ),
        }
        for workload, workers, kind in keys
    ]


def _mean_cores(phases: Sequence[Phase], cpu_seconds: Metric) -> dict[str, float]:
    spans = [(p.resumed_at or p.started_at, p.ended_at) for p in phases]
    wall_s = sum(end - start for start, end in spans)
    used: dict[str, float] = {}
    for series in cpu_seconds.series:
        job = series.labels.get("job", "")
        gained = sum(gain_between(series, start, end) for start, end in spans)
        used[job] = used.get(job, 0.0) + gained
    return {job: float(f"{seconds / wall_s:.3g}") for job, seconds in sorted(used.items())}
