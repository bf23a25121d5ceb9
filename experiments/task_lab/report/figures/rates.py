"""The three rates as bars, one panel a rate; the single rounds as points on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from task_lab.report import words
from task_lab.report.figures import style
from task_lab.report.points import RATES, rate_values

# What the system that this one replaces reached, end to end, by its own benchmark loop.
ORIGINAL_RATES = (
    (31.25, "--", "original system, 1 worker: 31.25"),
    (41.7, ":", "3 workers: 41.7"),
)
_TITLES = {
    "submit_per_s": "Submit\naccepted ÷ time to accept them",
    "drain_per_s": "Drain\na pre-filled queue, workers only",
    "end_to_end_per_s": "End to end\nfirst send to last finish",
}


@dataclass(frozen=True)
class Bar:
    """How a bar looks; `width` in units of the x axis."""

    width: float
    colour: str
    label: str


def rate_bars(points: Sequence[dict[str, Any]]) -> Figure:
    """Median rates of every point; whiskers are 95 % intervals, dots the single measurements."""
    figure = style.new_figure(4.6)
    panels = figure.subplots(1, len(RATES), sharey=True)
    for axes, rate in zip(panels, RATES, strict=True):
        _panel(axes, points, rate)
    panels[0].set_ylabel("tasks per second (log scale)")
    panels[0].yaxis.set_major_formatter("{x:,.0f}")
    style.legend_below(figure, panels[0], columns=6)
    return figure


def _panel(axes: Axes, points: Sequence[dict[str, Any]], rate: str) -> None:
    axes.set_title(_TITLES[rate], fontsize=9.5)
    axes.set_yscale("log")
    highest = max((p[r] or 0 for p in points for r in RATES), default=0) or 100
    axes.set_ylim(20, highest * 2.6)
    axes.grid(visible=False, axis="x")
    for value, line, label in ORIGINAL_RATES:
        axes.axhline(value, color=style.RED, linestyle=line, linewidth=1.3, label=label)
    workloads = list(dict.fromkeys(p["workload"] for p in points))
    counts = sorted({p["workers"] for p in points})
    width = 0.8 / max(len(counts), 1)
    for slot, workers in enumerate(counts):
        known = [p for p in points if p["workers"] == workers and p[rate] is not None]
        colour = style.WORKER_COLOURS[slot % len(style.WORKER_COLOURS)]
        for index, point in enumerate(known):
            x = workloads.index(point["workload"]) + (slot - (len(counts) - 1) / 2) * width
            # A leading underscore keeps the others out of the legend.
            label = f"{'_' if index else ''}{words.workers(workers)}"
            _bar(axes, x, point, rate, Bar(width * 0.9, colour, label))
    axes.set_xticks(range(len(workloads)), workloads)


def _bar(axes: Axes, x: float, point: dict[str, Any], rate: str, bar: Bar) -> None:
    height, width = point[rate], bar.width
    axes.bar(x, height, width, color=bar.colour, label=bar.label, edgecolor=style.INK, lw=0.5)
    values = rate_values(point, rate)
    top = max([height, *values])
    if len(values) > 1:
        step = width * 0.6 / (len(values) - 1)
        spread = [x - width * 0.3 + i * step for i in range(len(values))]
        axes.plot(spread, values, "o", ms=2.2, color=style.INK, alpha=0.55, mew=0)
    interval = point["intervals"][rate]
    if interval is not None:
        below, above = height - interval["low"], interval["high"] - height
        axes.errorbar(
            x,
            height,
            yerr=[[below], [above]],
            color=style.INK,
            capsize=4,
            linewidth=1.4,
            fmt="none",
        )
        top = max(top, interval["high"])
    axes.annotate(
        words.rate(height),
        (x, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
