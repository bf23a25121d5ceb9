"""What each worker count changed against the smallest one, and what that is of a fair share.

Pure. Needs no law and no number of counts: two are enough.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from task_lab import stats


@dataclass(frozen=True)
class Speedup:
    """`ratio` = median throughput ÷ that of `base` workers.

    efficiency: ratio ÷ (workers ÷ base), 1 where each worker brings as much as the first.
    interval, efficiency_interval: None where the measurements carry none, and `reason` says why.
    is_flagged: one worker did most of the work, so the ratio says nothing about workers.
    """

    workers: int
    base: int
    ratio: float
    interval: stats.Interval | None
    efficiency: float
    efficiency_interval: stats.Interval | None
    reason: str | None
    is_flagged: bool


def speedups(
    measured: Mapping[int, Sequence[float]], flagged: Collection[int] = ()
) -> list[Speedup]:
    """One for each worker count above the smallest that has measurements.

    measured: tasks/s of each measurement, by worker count.
    """
    counts = sorted(n for n in measured if measured[n])
    found = []
    for workers in counts[1:]:
        ratio = stats.ratio_of_medians(measured[workers], measured[counts[0]])
        if ratio is not None:
            found.append(_speedup(workers, counts[0], ratio, workers in flagged))
    return found


def _speedup(workers: int, base: int, ratio: stats.Ratio, is_flagged: bool) -> Speedup:
    share = base / workers
    bounds = ratio.interval
    return Speedup(
        workers=workers,
        base=base,
        ratio=ratio.value,
        interval=bounds,
        efficiency=ratio.value * share,
        efficiency_interval=bounds
        and stats.Interval(bounds.low * share, bounds.high * share, bounds.method),
        reason=ratio.reason,
        is_flagged=is_flagged,
    )
