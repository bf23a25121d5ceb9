"""Queue wait and end-to-end latency: percentiles with intervals, every point a row."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from task_lab.report import words
from task_lab.report.figures import style

_MARKS = {"p50": ("o", style.BLUE), "p95": ("^", style.ORANGE), "p99": ("s", style.RED)}
_TITLES = {
    "queue_wait_s": "Queue wait: due to start",
    "end_to_end_s": "End to end: scheduled send to finish",
}


def latency_percentiles(points: Sequence[dict[str, Any]]) -> Figure:
    """p50, p95 and p99 of each point on a log time axis; hollow where the run was too short."""
    figure = style.new_figure(1.5 + 0.55 * max(len(points), 1))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, name in zip(panels, _TITLES, strict=True):
        _panel(axes, points, name)
    rows = [f"{p['workload']}, {words.workers(p['workers'])}" for p in points]
    panels[0].set_yticks(range(len(points)), rows)
    panels[0].set_ylim(len(points) - 0.5, -0.5)
    style.legend_below(figure, panels[0], columns=4)
    return figure


def _panel(axes: Axes, points: Sequence[dict[str, Any]], name: str) -> None:
    axes.set_title(_TITLES[name])
    axes.set_xscale("log")
    axes.set_xlabel("time (log scale)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.seconds(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for q, (mark, colour) in _MARKS.items():
        axes.plot([], [], mark, color=colour, ms=7, label=q)
    axes.plot([], [], "o", color=style.FAINT, mfc="white", ms=7, label="hollow: run too short")
    for row, point in enumerate(points):
        evidence = point["latency_evidence"][name]
        for offset, (q, (mark, colour)) in zip((-0.2, 0.0, 0.2), _MARKS.items(), strict=True):
            value = point[name][q]
            if value is None or value <= 0:
                continue
            interval = (evidence["intervals"] or {}).get(q)
            if interval is not None:
                axes.hlines(
                    row + offset, max(interval["low"], value / 100), interval["high"],
                    color=colour, linewidth=2.2, alpha=0.6,
                )  # fmt: skip
            face = "white" if q in evidence["too_short"] else colour
            axes.plot(value, row + offset, mark, color=colour, mfc=face, ms=7, mew=1.4)
