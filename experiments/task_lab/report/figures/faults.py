"""A paced load while faults strike: throughput, latency and backlog, with each fault shaded.

The dark part of a shade lasts from a fault's injection to its heal, the light one from there until
the backlog was back. The numbers on top are those of the report's tables.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from task_lab.report import words
from task_lab.report.disturbances import Load
from task_lab.report.figures import style
from task_lab.report.figures.timelines import Floats

_BIN_S = 0.5
_HEIGHT_IN = 3.4
_TOP = 1.02


def throughput(load: Load, offered_per_s: float, faults: Sequence[dict[str, Any]]) -> Figure:
    """Tasks finished in each half second, per second, against what was offered."""
    figure, axes = _timeline(load, faults)
    edges = np.arange(load.start, _end(load) + _BIN_S, _BIN_S)
    counts, _ = np.histogram(load.finished_at, edges)
    axes.step(
        edges[:-1] - load.start, counts / _BIN_S, where="post", color=style.BLUE,
        label=f"finished, by the ledger, in each {_BIN_S:g} s",
    )  # fmt: skip
    axes.plot(
        [0, load.end - load.start], [offered_per_s] * 2, color=style.INK, ls="--", lw=1.2,
        label="offered",
    )  # fmt: skip
    axes.set_ylabel("tasks per second")
    axes.set_ylim(bottom=0)
    style.legend_below(figure, axes, columns=4)
    return figure


def latency(load: Load, faults: Sequence[dict[str, Any]]) -> Figure:
    """End-to-end latency of every task against its scheduled time, and the median of each half
    second, on a log axis."""
    figure, axes = _timeline(load, faults)
    tasks = load.finished.sort_values("scheduled_at")
    at = tasks["scheduled_at"].to_numpy(np.float64) - load.start
    seconds = tasks["end_to_end_s"].to_numpy(np.float64)
    axes.plot(
        at, seconds, ".", color=style.BLUE, ms=1.6, alpha=0.35, rasterized=True,
        label="each task",
    )  # fmt: skip
    middle, medians = _medians(at, seconds)
    axes.plot(middle, medians, color=style.RED, lw=1.4, label=f"median of each {_BIN_S:g} s")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.seconds(value)))
    axes.set_ylabel("scheduled send to finish")
    axes.set_xlabel("seconds after the load's start at which the task was due")
    style.legend_below(figure, axes, columns=4)
    return figure


def backlog(load: Load, faults: Sequence[dict[str, Any]]) -> Figure:
    """Tasks due by the schedule and not finished, and where each fault's backlog was back."""
    figure, axes = _timeline(load, faults)
    grid = np.arange(load.start, _end(load), 0.1)
    axes.fill_between(
        grid - load.start, load.backlog(grid), step="post", color=style.BLUE, alpha=0.4,
        linewidth=0, label="due by the schedule, not finished",
    )  # fmt: skip
    back = [
        (fault["at_s"] + fault["recovered_s"], fault["backlog_before"])
        for fault in faults
        if fault["recovered_s"]
    ]
    if back:
        axes.plot(*zip(*back, strict=True), "v", color=style.GREEN, ms=8, label="back at its level")
    axes.set_ylabel("tasks")
    axes.set_ylim(bottom=0)
    style.legend_below(figure, axes, columns=4)
    return figure


def _timeline(load: Load, faults: Sequence[dict[str, Any]]) -> tuple[Figure, Axes]:
    figure = style.new_figure(_HEIGHT_IN)
    axes = figure.subplots()
    axes.set_xlim(0, _end(load) - load.start)
    axes.set_xlabel("seconds after the load's start")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="x")
    for place, fault in enumerate(faults):
        _shade(axes, fault, is_first=place == 0)
    return figure, axes


def _shade(axes: Axes, fault: dict[str, Any], *, is_first: bool) -> None:
    start, down_s = fault["at_s"], fault["down_s"] or 0.0
    axes.axvspan(
        start, start + down_s, color=style.ORANGE, alpha=0.45, lw=0,
        label="fault, until healed" if is_first else None,
    )  # fmt: skip
    if (recovered_s := fault["recovered_s"]) and recovered_s > down_s:
        axes.axvspan(
            start + down_s, start + recovered_s, color=style.ORANGE, alpha=0.16, lw=0,
            label="until the backlog is back" if is_first else None,
        )  # fmt: skip
    axes.axvline(start, color=style.ORANGE, lw=1)
    name = f"{fault['number']} " + "\n".join(words.fault(fault).rsplit(" ", 1))
    axes.text(
        start, _TOP, name, transform=axes.get_xaxis_transform(),
        ha="left", va="bottom", fontsize=7.5, fontweight="bold", color=style.RED,
    )  # fmt: skip


def _end(load: Load) -> float:
    """When the last task was finished, or the last one was due."""
    return float(max([load.end, *load.finished_at[-1:]]))


def _medians(at: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The middle of each half second that has tasks, and the median of their values."""
    bins = (at // _BIN_S).astype(np.int64)
    filled = np.unique(bins)
    medians = np.array([np.median(values[bins == one]) for one in filled], np.float64)
    return (filled.astype(np.float64) + 0.5) * _BIN_S, medians
