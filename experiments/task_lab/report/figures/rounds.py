"""The end-to-end rate of every round in its order, the discarded warm-up included."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from task_lab.report import words
from task_lab.report.figures import style

_MARKS = ("o", "s", "^", "D", "v")


def round_rates(points: Sequence[dict[str, Any]]) -> Figure:
    """A panel a workload, a line a worker count; a trend here means the rounds are not alike."""
    workloads = list(dict.fromkeys(p["workload"] for p in points))
    figure = style.new_figure(3.2)
    panels = figure.subplots(1, len(workloads), squeeze=False)[0]
    for axes, workload in zip(panels, workloads, strict=True):
        _panel(axes, workload, [p for p in points if p["workload"] == workload])
    panels[0].set_ylabel("tasks per second, end to end")
    style.legend_below(figure, panels[0], columns=6)
    return figure


def _panel(axes: Axes, workload: str, points: Sequence[dict[str, Any]]) -> None:
    axes.set_title(f"{workload}: rate of each round")
    for slot, point in enumerate(sorted(points, key=lambda p: int(p["workers"]))):
        known = [r for r in point["rounds"] if r["end_to_end_per_s"] is not None]
        measured = [r for r in known if r["kind"] == "round"]
        look: dict[str, Any] = {
            "color": style.WORKER_COLOURS[slot % len(style.WORKER_COLOURS)],
            "marker": _MARKS[slot % len(_MARKS)],
        }
        axes.plot(
            [r["round"] for r in measured],
            [r["end_to_end_per_s"] for r in measured],
            label=words.workers(point["workers"]),
            **look,
        )
        warmup = [r["end_to_end_per_s"] for r in known if r["kind"] == "warmup"]
        axes.plot([0] * len(warmup), warmup, linestyle="none", mfc="white", **look)
    axes.plot([], [], "o", color=style.FAINT, mfc="white", label="hollow: warm-up, discarded")
    axes.set_xlabel("round (0: warm-up)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
