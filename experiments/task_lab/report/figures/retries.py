"""Retries, dead letters and goodput over time: the ledger's own curves, PromQL's over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from task_platform.domain.task import State

from task_lab.check.evidence import Evidence
from task_lab.check.foretold import RETRIED
from task_lab.report import words
from task_lab.report.figures import style
from task_lab.report.figures.timelines import GRID_S, Floats, present, refresh_s, total
from task_lab.report.records import Metric, Phase

Metrics = dict[str, Metric]
# As long as the window of the PromQL rates, so that both show the same second.
LOOK_BACK_S = 1.0
# Counters and the broker tell of the last task a little later.
_TAIL_S = 1.0


def trailing_per_s(times: Floats, grid: Floats, look_back_s: float = LOOK_BACK_S) -> Floats:
    """How many of the times fall into the second before each instant, per second."""
    ordered = np.sort(times[np.isfinite(times)])
    counted = np.searchsorted(ordered, grid, side="right")
    before = np.searchsorted(ordered, grid - look_back_s, side="right")
    return (counted - before) / look_back_s


def retry_curves(
    phases: Sequence[Phase], failures: pd.DataFrame, retries: pd.DataFrame | None, metrics: Metrics
) -> Figure:
    """Failed attempts to be retried, per second, and tasks that wait for their retry to be due."""
    figure, (rate, waiting), grid = _over_time(phases, 2)
    start = grid[0]
    retried_at = _times(failures.loc[failures["outcome"] == RETRIED, "ended_at"])
    rate.fill_between(
        grid - start, trailing_per_s(retried_at, grid), color=style.BLUE, alpha=0.35, linewidth=0,
        label="ledger: retries in the last second",
    )  # fmt: skip
    _draw(rate, metrics.get("retries"), grid, style.RED, "PromQL rate over 1s")
    rate.set_ylabel("retries per second")
    if retries is not None:
        depth = present(_times(retries["retried_at"]), _times(retries["due_at"]), grid)
        waiting.fill_between(
            grid - start, depth, color=style.ORANGE, alpha=0.35, linewidth=1.0,
            label="witness: retries set and not due yet",
        )  # fmt: skip
    waiting.set_ylabel("tasks waiting")
    _legends(rate, waiting)
    return figure


def dead_letter_curves(
    phases: Sequence[Phase], dead_letters: pd.DataFrame, foretold: int, metrics: Metrics
) -> Figure:
    """Dead letters so far, by the ledger, the workers' counters and the broker; and their rate."""
    figure, (depth, rate), grid = _over_time(phases, 2)
    start, failed_at = grid[0], _times(dead_letters["failed_at"])
    so_far = np.searchsorted(np.sort(failed_at), grid, side="right")
    depth.fill_between(
        grid - start, so_far, step="post", color=style.BLUE, alpha=0.3, linewidth=0,
        label="ledger: dead letters",
    )  # fmt: skip
    depth.axhline(foretold, color=style.INK, linestyle="--", linewidth=1.1, label="foretold in all")
    counter = metrics.get("failed_raw")
    _draw(depth, counter, grid, style.RED, "workers' raw counters", steps=True)
    ready, seen = metrics.get("dlq_ready"), refresh_s(metrics.get("dlq_ready"))
    every = f", new every {seen:.2g} s" if seen else ""
    label = f"broker: messages in tasks.dlq{every}"
    _draw(depth, ready, grid, style.ORANGE, label, steps=True)
    depth.set_ylabel("dead letters")
    rate.fill_between(
        grid - start, trailing_per_s(failed_at, grid), color=style.BLUE, alpha=0.35, linewidth=0,
        label="ledger: dead letters in the last second",
    )  # fmt: skip
    _draw(rate, metrics.get("dead_lettered"), grid, style.RED, "PromQL rate over 1s")
    rate.set_ylabel("per second")
    _legends(depth, rate)
    return figure


def goodput_curves(
    phases: Sequence[Phase],
    tasks: pd.DataFrame,
    evidence: Evidence,
    windows: Sequence[tuple[float, float]],
) -> Figure:
    """Attempts, terminal tasks and proven successes per second, of the last second each.

    tasks: the ledger with `as_foretold`. windows: where rates were taken, unix seconds.
    """
    figure, (axes,), grid = _over_time(phases, 1)
    start = grid[0]
    assert evidence.failures is not None
    failures = evidence.failures
    retried_at = _times(failures.loc[failures["outcome"] == RETRIED, "ended_at"])
    finished_at = _times(tasks["finished_at"])
    good = tasks["as_foretold"] & (tasks["state"] == State.SUCCEEDED)
    sent_at = _times(evidence.history["scheduled_at"])
    lines = (
        ("attempts", np.concatenate([finished_at, retried_at]), style.ORANGE, "-"),
        ("throughput: terminal tasks", finished_at, style.RED, "-"),
        ("goodput: proven successes", _times(tasks.loc[good, "finished_at"]), style.GREEN, "-"),
        ("offered: scheduled sends", sent_at, style.FAINT, ":"),
    )
    for label, times, colour, line in lines:
        rate = trailing_per_s(times, grid)
        axes.plot(grid - start, rate, color=colour, linestyle=line, label=label)
    for begin, end in windows:
        axes.axvspan(begin - start, end - start, color=style.SHADE, lw=0, zorder=0)
    # The warm-up is a closed loop, as fast as it goes: its peak would hide all else.
    loads = [p for p in phases if p.is_paced]
    inside = np.zeros(len(grid), dtype=bool)
    for phase in loads:
        inside |= (grid >= phase.started_at + LOOK_BACK_S) & (grid <= phase.ended_at)
    highest = max((trailing_per_s(times, grid)[inside].max() for _, times, _, _ in lines
                   if inside.any()), default=0.0)  # fmt: skip
    axes.set_ylim(0, 1.15 * max(highest, 1.0))
    axes.set_ylabel("per second")
    _legends(axes)
    return figure


def _over_time(phases: Sequence[Phase], rows: int) -> tuple[Figure, list[Axes], Floats]:
    """Panels below each other over the whole run, its warm-ups hatched; and instants to draw at."""
    start, end = phases[0].started_at, phases[-1].ended_at + _TAIL_S
    grid = start + np.arange(int((end - start) / GRID_S) + 2, dtype=np.float64) * GRID_S
    figure = style.new_figure(0.9 + 2.3 * rows)
    panels = list(figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0])
    for axes in panels:
        axes.set_xlim(0, end - start)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(visible=False, axis="x")
        for phase in phases:
            left, right = phase.started_at - start, phase.ended_at - start
            if phase.kind == "warmup":
                axes.axvspan(left, right, facecolor="none", edgecolor="#cccccc", hatch="///", lw=0)
            else:
                axes.axvline(left, color=style.FAINT, linewidth=0.8)
    many = len({phase.workers for phase in phases}) > 1
    for phase in phases:
        if many and phase.is_paced:
            title = f" {words.workers(phase.workers)}"
            at = (phase.started_at - start, 0.93)
            panels[0].annotate(title, at, xycoords=("data", "axes fraction"), fontsize=8.5)
    panels[-1].set_xlabel("seconds")
    return figure, panels, grid


def _draw(
    axes: Axes,
    metric: Metric | None,
    grid: Floats,
    colour: str,
    label: str,
    *,
    steps: bool = False,
) -> None:
    if metric is None or not metric.series:
        return
    at, values = total(metric)
    inside = (at >= grid[0]) & (at <= grid[-1])
    style_of_line = "steps-post" if steps else "default"
    axes.plot(
        at[inside] - grid[0], values[inside], color=colour, drawstyle=style_of_line, label=label
    )


def _legends(*panels: Axes) -> None:
    """A legend above each panel, where no curve can be."""
    for axes in panels:
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, borderaxespad=0.2)


def _times(column: pd.Series[float]) -> Floats:
    found: Floats = np.asarray(column, dtype=np.float64)
    return found
