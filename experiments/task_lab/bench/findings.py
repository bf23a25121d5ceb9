"""From measurements to what the rows and figures say. Pure, and the same lines give the same.

A ratio is that of two medians, so that a reader can divide the two figures beside it; its spread is
that of the single cycles, each of which compares what was measured side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats as scipy_stats

from task_lab.bench.measurements import (
    Line,
    Measurement,
    Problem,
    measurements_of,
    values_of,
)
from task_lab.bench.rows import TARGETS, Figure, Found, Group
from task_lab.stats import CONFIDENCE, Interval, median, percentile

# Row → the two series whose medians it divides.
_RATIOS = {
    "drain_1w_per_floor": ("drain_1w_per_s", "drain_floor_per_s"),
    "drain_2w_per_1w": ("drain_2w_per_s", "drain_1w_per_s"),
    "drain_3w_per_1w": ("drain_3w_per_s", "drain_1w_per_s"),
    "drain_1w_per_pgqueuer": ("drain_1w_per_s", "drain_pgqueuer_per_s"),
    "sleep_3w_per_1w": ("sleep_3w_per_s", "sleep_1w_per_s"),
    "sleep_6w_per_1w": ("sleep_6w_per_s", "sleep_1w_per_s"),
    "single_posts_per_empty_route": ("single_posts_per_s", "empty_route_per_s"),
    "million_rows_buffers": ("buffers_per_task_full", "buffers_per_task_empty"),
}
# Row or figure → the sample and which percentile of it.
_PERCENTILES = {
    "idle_p50_ms": ("idle_latency_ms", 0.50),
    "idle_p95_ms": ("idle_latency_ms", 0.95),
    "idle_p99_ms": ("idle_latency_ms", 0.99),
    "open_loop_queue_wait_p50_ms": ("open_loop_queue_wait_ms", 0.50),
    "open_loop_queue_wait_p95_ms": ("open_loop_queue_wait_ms", 0.95),
    "open_loop_queue_wait_p99_ms": ("open_loop_queue_wait_ms", 0.99),
    "open_loop_send_lag_p99_ms": ("open_loop_send_lag_ms", 0.99),
}
# Row → the memory before, and the most seen beside the backlog.
_GROWTHS = {
    "backlog_worker_growth_mb": ("backlog_worker_before_mb", "backlog_worker_beside_mb"),
    "backlog_api_growth_mb": ("backlog_api_before_mb", "backlog_api_beside_mb"),
}
PROFILES = {
    "drain": "cpu_drain_ms_per_task",
    "end_to_end": "cpu_end_to_end_ms_per_task",
}
# Full table and empty table, measured in pairs.
_PAIR = ("million_rows_full_per_s", "million_rows_empty_per_s")
_MIN_PAIRS = 3


def find(lines: Sequence[Line]) -> dict[str, Found]:
    """What the measurements say of each row, by its name.

    A group that came to no end says nothing: what it measured before may be what went wrong.
    """
    broken = {line.group for line in lines if isinstance(line, Problem)}
    return {t.name: _find_row(lines, t.name) for t in TARGETS if t.group not in broken}


def figures_beside(lines: Sequence[Line], rows: Sequence[str]) -> list[Figure]:
    """Every other figure that was measured: medians of the series, percentiles, an interval.

    rows: names that the rows state already.
    """
    return [figure for figure in _all_figures(lines) if figure.name not in rows]


def profile(lines: Sequence[Line], name: str) -> dict[str, float]:
    """CPU milliseconds a task (seconds for 1,000 tasks) by part, of the repetition in the middle.

    name: of `PROFILES`. Empty where it was not measured.
    """
    middle = _middle(list(measurements_of(lines, PROFILES[name])))
    return dict(middle.parts) if middle else {}


def paired_ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, Interval] | None:
    """The ratio first / second of values taken in pairs, and its 95 % interval.

    The mean of the pairs' log ratios by Student's t; None with fewer than three pairs, or values
    that are not positive.
    """
    if len(pairs) < _MIN_PAIRS or any(not (a > 0 and b > 0) for a, b in pairs):
        return None
    logs = np.log([a / b for a, b in pairs])
    mean = float(np.mean(logs))
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    reach = error * float(scipy_stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1))
    interval = Interval(math.exp(mean - reach), math.exp(mean + reach), method="t of log ratios")
    return math.exp(mean), interval


def by_cycle(lines: Sequence[Line], above: str, below: str) -> list[tuple[float, float]]:
    """The two series' values of each cycle that has both, in the order of the cycles."""
    first = {m.cycle: m.value for m in measurements_of(lines, above) if m.value is not None}
    second = {m.cycle: m.value for m in measurements_of(lines, below) if m.value is not None}
    return [(first[cycle], second[cycle]) for cycle in sorted(first.keys() & second.keys())]


def sample(lines: Sequence[Line], name: str) -> list[float]:
    """All values of the samples of that name together."""
    return [value for m in measurements_of(lines, name) for value in m.values]


def _find_row(lines: Sequence[Line], name: str) -> Found:
    if name in _RATIOS:
        return _ratio(lines, *_RATIOS[name])
    if name in _PERCENTILES:
        series, q = _PERCENTILES[name]
        return Found(_known(percentile(sample(lines, series), q)))
    if name in _GROWTHS:
        before, beside = (values_of(lines, series) for series in _GROWTHS[name])
        return Found(max(beside) - before[0]) if before and beside else Found(None)
    if name == "million_rows_drain_low":
        ratio = paired_ratio(by_cycle(lines, *_PAIR))
        return Found(ratio[1].low) if ratio else Found(None)
    if name in PROFILES.values():
        middle = _middle(list(measurements_of(lines, name)))
        values = values_of(lines, name)
        return Found(middle.value, min(values), max(values)) if middle else Found(None)
    return _median(values_of(lines, name))


def _ratio(lines: Sequence[Line], above: str, below: str) -> Found:
    first, second = values_of(lines, above), values_of(lines, below)
    if not first or not second or median(second) == 0:
        return Found(None)
    single = [a / b for a, b in by_cycle(lines, above, below) if b]
    value = _known(median(first) / median(second))
    return Found(value, min(single, default=None), max(single, default=None))


def _median(values: Sequence[float]) -> Found:
    return Found(_known(median(values)), min(values), max(values)) if values else Found(None)


def _middle(measurements: Sequence[Measurement]) -> Measurement | None:
    """The measurement with the (lower) median value: its parts add up, which medians do not."""
    known = [m for m in measurements if m.value is not None]
    known.sort(key=lambda m: m.value or 0.0)
    return known[(len(known) - 1) // 2] if known else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _all_figures(lines: Sequence[Line]) -> Iterator[Figure]:
    series = dict.fromkeys(
        line.name for line in lines if isinstance(line, Measurement) and line.value is not None
    )
    for name in series:
        value = _known(median(values_of(lines, name)))
        if value is not None and name not in PROFILES.values():
            yield Figure(name, value, unit_of(name))
    if ratio := paired_ratio(by_cycle(lines, *_PAIR)):
        yield Figure("million_rows_drain_ratio", ratio[0], "ratio")
        yield Figure("million_rows_drain_high", ratio[1].high, "ratio")
    for name, (of, q) in _PERCENTILES.items():
        if values := sample(lines, of):
            yield Figure(name, percentile(values, q), "ms")
    for profile_name in PROFILES:
        for part, cost in profile(lines, profile_name).items():
            yield Figure(f"cpu_{profile_name}_{part}_ms_per_task", cost, "ms")


def unit_of(name: str) -> str:
    """The unit that the end of a series' name tells."""
    if name in ("single_posts_per_s", "empty_route_per_s"):
        return "requests/s"
    units = {"_per_s": "tasks/s", "_ms": "ms", "_mb": "MB", "_s": "s"}
    found = (unit for ending, unit in units.items() if name.endswith(ending))
    return next(found, "pages" if name.startswith("buffers") else "ratio")


def missing_reasons(lines: Sequence[Line]) -> dict[Group, str]:
    """Why each group that came to no end did not; the first reason of each."""
    found: dict[Group, str] = {}
    for line in lines:
        if isinstance(line, Problem):
            found.setdefault(line.group, line.reason)
    return found
