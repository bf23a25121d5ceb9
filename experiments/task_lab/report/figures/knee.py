"""The knee: what is achieved, and at what latency, as the offered rate rises."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from task_lab.report import words
from task_lab.report.figures import style

_MARKS = {"p50": ("o", style.BLUE), "p95": ("^", style.ORANGE), "p99": ("s", style.RED)}
_LATENCIES = {
    "queue_wait_s": "Queue wait",
    "end_to_end_s": "End to end, from schedule",
}
Point = dict[str, Any]


def knee_curves(points: Sequence[Point], steps: Sequence[Point]) -> Figure:
    """A row a workload and worker count: achieved against offered, then both latencies."""
    rows = list(dict.fromkeys((p["workload"], p["workers"]) for p in points))
    figure = style.new_figure(0.9 + 3.1 * len(rows))
    grid = figure.subplots(len(rows), 3, squeeze=False)
    kept = {step["phase"]: step["verdict"] == "PASS" for step in steps}
    for panels, (workload, workers) in zip(grid, rows, strict=True):
        own = sorted(
            (p for p in points if (p["workload"], p["workers"]) == (workload, workers)),
            key=lambda p: float(p["offered_per_s"]),
        )
        _achieved(panels[0], own, kept, f"{workload}, {words.workers(workers)}")
        for axes, (name, title) in zip(panels[1:], _LATENCIES.items(), strict=True):
            _latencies(axes, own, kept, name, title)
        for axes in panels:
            axes.set_xlabel("offered, tasks per second")
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(6))
    style.legend_below(figure, grid[0, 1], columns=4)
    return figure


def _achieved(axes: Axes, points: Sequence[Point], kept: dict[str, bool], title: str) -> None:
    axes.set_title(f"{title}: achieved")
    highest = max(float(p["offered_per_s"]) for p in points)
    axes.plot([0, highest], [0, highest], color=style.FAINT, linestyle="--", linewidth=1)
    axes.annotate("as offered", (highest, highest), color=style.FAINT, ha="right", va="bottom")
    known = [p for p in points if p["achieved_per_s"] is not None]
    axes.plot(
        [p["offered_per_s"] for p in known],
        [p["achieved_per_s"] for p in known],
        color=style.BLUE,
    )
    for point in known:
        face = style.BLUE if kept.get(point["phase"]) else "white"
        at = (point["offered_per_s"], point["achieved_per_s"])
        axes.plot(*at, "o", color=style.BLUE, mfc=face, ms=6)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("tasks per second")


def _latencies(
    axes: Axes, points: Sequence[Point], kept: dict[str, bool], name: str, title: str
) -> None:
    axes.set_title(title)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.seconds(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    for q, (mark, colour) in _MARKS.items():
        known = [p for p in points if (p[name][q] or 0) > 0]
        axes.plot(
            [p["offered_per_s"] for p in known],
            [p[name][q] for p in known],
            color=colour,
            label=q,
            marker=mark,
            ms=6,
        )
        missed = [p for p in known if not kept.get(p["phase"])]
        axes.plot(
            [p["offered_per_s"] for p in missed],
            [p[name][q] for p in missed],
            mark,
            color=colour,
            mfc="white",
            ms=6,
        )
    axes.plot([], [], "o", color=style.FAINT, mfc="white", label="hollow: missed an objective")


def search_path(probes: Sequence[Point]) -> Figure:
    """Each probe's rate in its order, sustained ones filled."""
    figure = style.new_figure(2.8)
    axes = figure.subplots()
    numbers = range(1, len(probes) + 1)
    axes.plot(numbers, [p["per_s"] for p in probes], color=style.FAINT, linewidth=1)
    for is_sustained, colour, mark, label in (
        (True, style.BLUE, "o", "sustained"),
        (False, style.RED, "X", "missed an objective"),
    ):
        numbered = zip(numbers, probes, strict=True)
        own = [(n, p) for n, p in numbered if p["sustained"] is is_sustained]
        axes.plot(
            [n for n, _ in own], [p["per_s"] for _, p in own], mark, color=colour, ms=8, label=label
        )
    axes.set_xlabel("probe")
    axes.set_ylabel("offered, tasks per second")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_below(figure, axes, columns=2)
    return figure


def two_views(points: Sequence[Point]) -> Figure:
    """The 99th percentile of each step from its schedule, and from its sends."""
    figure = style.new_figure(3.2)
    axes = figure.subplots()
    own = sorted(points, key=lambda p: float(p["offered_per_s"]))
    for name, colour, mark, label in (
        ("end_to_end_s", style.RED, "s", "p99 from when it was due"),
        ("from_send_s", style.BLUE, "o", "p99 from when it was sent"),
    ):
        known = [p for p in own if (p[name]["p99"] or 0) > 0]
        axes.plot(
            [p["offered_per_s"] for p in known],
            [p[name]["p99"] for p in known],
            color=colour,
            marker=mark,
            label=label,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.seconds(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("offered, tasks per second")
    axes.set_title("End to end, seen twice")
    style.legend_below(figure, axes, columns=2)
    return figure
