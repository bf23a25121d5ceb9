"""Throughput, queue depth and tasks in flight over time, from the ledger and from elsewhere.

The ledger's lines are exact: they are counted from each task's own timestamps. Every other line is
somebody's sample of the same thing and is drawn over it, named for where it came from.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from task_lab.report import words
from task_lab.report.figures import style
from task_lab.report.records import Metric, Phase

GRID_S = 0.25
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A stretch of time to draw, and the phases inside it."""

    title: str
    start: float
    end: float
    phases: tuple[Phase, ...]

    def grid(self) -> Floats:
        """Instants every 250 ms from the start, none past the end."""
        steps = np.arange(int((self.end - self.start) / GRID_S) + 1, dtype=np.float64)
        return self.start + steps * GRID_S


Panel = Callable[[Axes, Window], None]


def windows(phases: Sequence[Phase], workers: int) -> list[Window]:
    """What to draw for one worker count: its rounds with their warm-up, then its drains."""
    own = [p for p in phases if p.workers == workers]
    rounds = tuple(p for p in own if p.kind != "drain")
    drains = tuple(p for p in own if p.kind == "drain")
    found = []
    if rounds:
        what = "load" if any(p.is_paced for p in rounds) else "rounds"
        title = f"{words.workers(workers)}: {what}"
        found.append(Window(title, rounds[0].started_at, rounds[-1].ended_at, rounds))
    if drains:
        begin = drains[0].resumed_at or drains[0].started_at
        title = f"{words.workers(workers)}: drain"
        found.append(Window(title, begin - 2 * GRID_S, drains[-1].ended_at, drains))
    return found


def finished_per_s(finished_at: Floats, grid: Floats) -> Floats:
    """Tasks finished in the step that ends at each instant, per second; 0 at the first."""
    counted = np.searchsorted(np.sort(finished_at), grid, side="right")
    return np.diff(counted, prepend=counted[:1]) / GRID_S


def present(arrived_at: Floats, left_at: Floats, grid: Floats) -> Floats:
    """How many have arrived and not left at each instant. NaN in `left_at`: has not left."""
    arrived = np.searchsorted(np.sort(arrived_at), grid, side="right")
    left = np.searchsorted(np.sort(left_at[np.isfinite(left_at)]), grid, side="right")
    return (arrived - left).astype(np.float64)


def refresh_s(metric: Metric | None) -> float | None:
    """How often a sampled value was seen to change, in seconds: the median gap while it moved."""
    if metric is None:
        return None
    gaps = [_gaps(s.at, s.values) for s in metric.series]
    joined = np.concatenate(gaps) if gaps else np.empty(0)
    return float(np.median(joined)) if joined.size >= 3 else None


def _gaps(at: Floats, values: Floats) -> Floats:
    known = np.isfinite(values)
    moved = np.flatnonzero(np.diff(values[known]) != 0)
    gaps = np.diff(at[known][1:][moved])
    # A gap of many seconds is a queue at rest, not a slow refresh.
    return gaps[gaps <= 10]


def total(metric: Metric) -> tuple[Floats, Floats]:
    """The sum over all series at each instant any of them has a value for, in order of time."""
    at = np.concatenate([s.at for s in metric.series] or [np.empty(0)])
    values = np.concatenate([s.values for s in metric.series] or [np.empty(0)])
    known = np.isfinite(values)
    instants, position = np.unique(at[known], return_inverse=True)
    summed = np.bincount(position, weights=values[known], minlength=len(instants))
    return instants, summed.astype(np.float64)


def rate_window(query: str) -> str | None:
    """The look-back window a PromQL rate was taken over, as written: `1s`."""
    found = re.search(r"\[(\w+)\]", query)
    return found.group(1) if found else None


def throughput(phases: Sequence[Phase], tasks: pd.DataFrame, metric: Metric | None) -> Figure:
    """Tasks finished per second: the ledger's count a step, PromQL's rate over it."""
    finished = _times(tasks, "finished_at")
    window = rate_window(metric.query) if metric else None

    def panel(axes: Axes, shown: Window) -> None:
        grid = shown.grid()
        axes.fill_between(
            grid - shown.start, finished_per_s(finished, grid), step="pre", color=style.BLUE,
            alpha=0.35, linewidth=0, label="ledger: tasks finished in each 250 ms",
        )  # fmt: skip
        label = f"PromQL rate over {window}" if window else "PromQL rate"
        _draw_metric(axes, metric, shown, style.RED, label)

    return _grid_of(phases, panel, "tasks per second")


def queue_depth(
    phases: Sequence[Phase], tasks: pd.DataFrame, samples: pd.DataFrame, metric: Metric | None
) -> Figure:
    """Waiting tasks: due and not started by the ledger, ready by passive declare and by metrics."""
    due, started = _times(tasks, "due_at"), _times(tasks, "started_at")
    seen = refresh_s(metric)
    every = f", new every {seen:.2g} s" if seen else ""

    def panel(axes: Axes, shown: Window) -> None:
        grid = shown.grid()
        axes.fill_between(
            grid - shown.start, present(due, started, grid), color=style.BLUE, alpha=0.3,
            linewidth=0, label="ledger: due, not started (250 ms grid)",
        )  # fmt: skip
        inside = samples[samples["at"].between(shown.start, shown.end)]
        axes.plot(
            inside["at"] - shown.start, inside["ready"], ".", color=style.INK,
            ms=5 if len(inside) < 100 else 2.5,
            label="broker: ready, by passive declare",
        )  # fmt: skip
        label = f"Prometheus: the broker's own series{every}"
        _draw_metric(axes, metric, shown, style.ORANGE, label, steps=True)

    return _grid_of(phases, panel, "tasks")


def in_flight(phases: Sequence[Phase], tasks: pd.DataFrame, metric: Metric | None) -> Figure:
    """Tasks being run by the ledger, and delivered but not acknowledged by the workers' gauges."""
    started, finished = _times(tasks, "started_at"), _times(tasks, "finished_at")

    def panel(axes: Axes, shown: Window) -> None:
        grid = shown.grid()
        axes.fill_between(
            grid - shown.start, present(started, finished, grid), color=style.BLUE, alpha=0.35,
            linewidth=1.2, label="ledger: started, not finished (250 ms grid)",
        )  # fmt: skip
        label = "Prometheus: delivered, not acknowledged"
        _draw_metric(axes, metric, shown, style.RED, label, steps=True)

    return _grid_of(phases, panel, "tasks")


def _grid_of(phases: Sequence[Phase], panel: Panel, unit: str) -> Figure:
    """A row a worker count; rounds on the left, drain on the right, each with its own scale.

    A paced load has no drain, and the whole width.
    """
    counts = sorted({p.workers for p in phases})
    has_drains = any(p.kind == "drain" for p in phases) or not phases
    figure = style.new_figure(1.0 + 2.1 * max(len(counts), 1))
    rows = figure.subplots(
        max(len(counts), 1),
        2 if has_drains else 1,
        squeeze=False,
        width_ratios=(3, 2) if has_drains else None,
    )
    grid = cast("npt.NDArray[np.object_]", rows)
    for row, workers in zip(grid, counts, strict=False):
        for axes, shown in zip(row, windows(phases, workers), strict=False):
            _shade(axes, shown)
            panel(axes, shown)
            axes.set_title(shown.title)
            axes.set_ylim(bottom=0)
            axes.set_xlim(0, shown.end - shown.start)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.grid(visible=False, axis="x")
        row[0].set_ylabel(unit)
    for column in range(grid.shape[1]):
        highest = max(axes.get_ylim()[1] for axes in grid[:, column])
        for axes in grid[:, column]:
            axes.set_ylim(0, highest)
        grid[-1, column].set_xlabel("seconds")
    style.legend_below(figure, grid[0, 0], columns=3)
    return figure


def _shade(axes: Axes, shown: Window) -> None:
    """Every second phase on grey, so that rounds can be told apart; the warm-up is named."""
    for index, phase in enumerate(shown.phases):
        left, right = phase.started_at - shown.start, phase.ended_at - shown.start
        if phase.kind == "warmup":
            axes.axvspan(left, right, facecolor="none", edgecolor="#cccccc", hatch="///", lw=0)
        elif index % 2 and phase.kind != "drain":
            axes.axvspan(left, right, color=style.SHADE, lw=0)


def _draw_metric(
    axes: Axes,
    metric: Metric | None,
    shown: Window,
    colour: str,
    label: str,
    *,
    steps: bool = False,
) -> None:
    if metric is None:
        return
    at, values = total(metric)
    inside = (at >= shown.start) & (at <= shown.end)
    axes.plot(
        at[inside] - shown.start,
        values[inside],
        color=colour,
        drawstyle="steps-post" if steps else "default",
        label=label,
    )


def _times(tasks: pd.DataFrame, column: str) -> Floats:
    found: Floats = tasks[column].to_numpy(dtype=np.float64)
    return found[np.isfinite(found)]
