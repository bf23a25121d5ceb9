"""How often tasks were tried, how long each retry waited, how late it was, how long all took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from task_lab.report import words
from task_lab.report.figures import style

Floats = npt.NDArray[np.float64]


def attempts_histogram(records: Sequence[dict[str, int]]) -> Figure:
    """Tasks by the number of their attempts: foretold beside observed, on a log scale."""
    figure = style.new_figure(3.2)
    axes = figure.subplots()
    numbers = np.array([one["attempts"] for one in records], dtype=np.float64)
    sides = (("foretold", -0.2, "white", style.INK), ("observed", 0.2, style.BLUE, style.BLUE))
    for name, offset, face, edge in sides:
        counts = [one[name] for one in records]
        bars = axes.bar(
            numbers + offset, counts, 0.38, facecolor=face, edgecolor=edge, linewidth=1.1,
            hatch="//" if face == "white" else None, label=name,
        )  # fmt: skip
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=2, fontsize=8.5)
    axes.set_yscale("log")
    axes.set_ylim(0.7, 2.5 * max([1, *(max(o["foretold"], o["observed"]) for o in records)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylabel("tasks (log scale)")
    axes.set_xticks(numbers, [f"{int(number)}" for number in numbers])
    axes.set_xlabel("attempts")
    axes.grid(visible=False, axis="x")
    style.legend_below(figure, axes, columns=2)
    return figure


def backoff_spread(retries: pd.DataFrame, records: Sequence[dict[str, Any]]) -> Figure:
    """Each retry's wait against its bounds; how long after it was due each retry was claimed."""
    figure = style.new_figure(4.2)
    wait, late = figure.subplots(1, 2, width_ratios=(3, 2))
    for one in records:
        number = one["attempt"]
        of_number = retries[retries["attempt"] == number]
        low, high = one["low_s"], one["high_s"]
        box = Rectangle(
            (number - 0.4, low), 0.8, high - low, facecolor=style.GREEN, alpha=0.18, linewidth=0
        )
        wait.add_patch(box)
        wait.hlines([low, high], number - 0.4, number + 0.4, color=style.GREEN, linewidth=1.4)
        _strip(wait, number, of_number["wait_s"], style.BLUE)
        _strip(late, number, of_number["late_s"].dropna(), style.ORANGE)
    wait.plot([], [], ".", color=style.BLUE, ms=7, label="one retry")
    wait.plot([], [], color=style.GREEN, linewidth=1.4, label="where it must lie")
    wait.set_title("Back-off: failed to due")
    late.set_title("Late: due to claimed")
    for axes, name in ((wait, "wait_s"), (late, "late_s")):
        highest = max((one[name]["max"] for one in records if one[name]), default=0.0)
        highest = max([highest, *(one["high_s"] for one in records if axes is wait)])
        axes.set_ylim(0, 1.08 * highest or 1.0)
        axes.set_xticks([one["attempt"] for one in records])
        axes.set_xlabel("failed attempt")
        axes.yaxis.set_major_formatter(FuncFormatter(_seconds))
        axes.grid(visible=False, axis="x")
    style.legend_below(figure, wait, columns=2)
    return figure


def time_to_end(tasks: pd.DataFrame, records: Sequence[dict[str, Any]]) -> Figure:
    """From commit to the end of every task that fails at least once, against its back-off in all.

    tasks: rows of the load with `part`. records: of the parts that fail.
    """
    figure = style.new_figure(1.4 + 0.55 * len(records))
    axes = figure.subplots()
    names = []
    for row, one in enumerate(records):
        own = tasks[tasks["part"] == one["part"]]
        took = (own["finished_at"] - own["created_at"]).dropna().to_numpy(dtype=np.float64)
        low, high = one["backoff_s"]
        axes.add_patch(
            Rectangle((low, row - 0.36), high - low, 0.72, facecolor=style.GREEN, alpha=0.18, lw=0)
        )
        axes.vlines([low, high], row - 0.36, row + 0.36, color=style.GREEN, linewidth=1.4)
        is_dead = one["ends"] == "FAILED"
        colour = style.RED if is_dead else style.BLUE
        axes.plot(took, row + _jitter(len(took)) * 0.8, ".", color=colour, ms=4, alpha=0.7)
        names.append(f"{one['part']}: {_attempts(one['attempts'])}")
    axes.plot([], [], ".", color=style.BLUE, ms=7, label="succeeded")
    axes.plot([], [], ".", color=style.RED, ms=7, label="dead-lettered")
    axes.plot([], [], color=style.GREEN, linewidth=1.4, label="sum of its waits, shortest, longest")
    axes.set_yticks(range(len(records)), names)
    axes.set_ylim(len(records) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds from commit to the terminal state")
    axes.grid(visible=False, axis="y")
    style.legend_below(figure, axes, columns=3)
    return figure


def _seconds(value: float, _place: object) -> str:
    return words.seconds(value) if value else "0"


def _attempts(number: int) -> str:
    return f"{number} attempt" if number == 1 else f"{number} attempts"


def _strip(axes: Axes, number: int, values: pd.Series[float], colour: str) -> None:
    shown = values.to_numpy(dtype=np.float64)
    axes.plot(number + _jitter(len(shown)), shown, ".", color=colour, ms=4, alpha=0.6)


def _jitter(count: int) -> Floats:
    """Places beside each other in no order, the same ones for ever (golden ratio)."""
    places: Floats = np.arange(count, dtype=np.float64) * 0.6180339887 % 1
    return (places - 0.5) * 0.64
