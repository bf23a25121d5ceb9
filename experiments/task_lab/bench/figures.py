"""The pictures of a bench: drains of every system, CPU by part, latencies. No file but PNGs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from task_lab.bench.findings import PROFILES, sample
from task_lab.bench.measurements import Line, values_of
from task_lab.bench.rows import TARGETS
from task_lab.bench.summary import number_text
from task_lab.report.figures import style
from task_lab.stats import median

FOLDER = "figures"

# Series of drains, what to call it, its colour: the platform's own in one, others apart.
_SYSTEMS = (
    ("drain_floor_per_s", "bare loops (the floor)", style.FAINT),
    ("drain_1w_per_s", "platform, 1 worker", style.BLUE),
    ("drain_2w_per_s", "platform, 2 workers", style.BLUE),
    ("drain_3w_per_s", "platform, 3 workers", style.BLUE),
    ("drain_1w_classic_per_s", "platform, 1 worker,\nclassic queue", style.GREEN),
    ("drain_pgqueuer_per_s", "PgQueuer, 1 worker", style.ORANGE),
)
_PARTS = {
    "generator": style.FAINT,
    "api": style.BLUE,
    "relay": style.PURPLE,
    "worker": style.ORANGE,
    "postgres": style.GREEN,
    "rabbitmq": style.RED,
}
_PROFILE_NAMES = {
    "drain": "full queue,\n1 worker",
    "end_to_end": "submission\nto result",
}
# Sample, its label and colour, and the rows that judge it: (row, share of tasks that may be later).
_LATENCIES: tuple[tuple[str, str, str, tuple[tuple[str, float], ...]], ...] = (
    (
        "idle_latency_ms",
        "idle platform: send to result",
        style.BLUE,
        (("idle_p50_ms", 0.5), ("idle_p99_ms", 0.01)),
    ),
    (
        "open_loop_queue_wait_ms",
        "arrivals at half pace: due to start",
        style.ORANGE,
        (("open_loop_queue_wait_p95_ms", 0.05),),
    ),
)
_BEHIND_TEXT = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
_LIMITS = {target.name: target.limit for target in TARGETS}


def draw(folder: Path, lines: Sequence[Line], summary: Mapping[str, Any]) -> list[str]:
    """Draw each picture that there are measurements for; returns their file names, in order."""
    makers: dict[str, Callable[[], Figure] | None] = {
        "drains.png": _drains(lines),
        "cpu.png": _cpu(summary["profile"]),
        "latency.png": _latency(lines),
    }
    known = {name: maker for name, maker in makers.items() if maker}
    with style.applied():
        for name, maker in known.items():
            style.save(maker(), folder / FOLDER / name)
    return list(known)


def _drains(lines: Sequence[Line]) -> Callable[[], Figure] | None:
    known = [(name, *rest) for name, *rest in _SYSTEMS if values_of(lines, name)]
    if not known:
        return None

    def make() -> Figure:
        figure = style.new_figure(0.9 + 0.52 * len(known))
        axes = figure.subplots()
        axes.set_title("Tasks per second from a full queue; each dot is one repetition")
        for place, (name, label, colour) in enumerate(known):
            _bar(axes, place, values_of(lines, name), colour, label)
        axes.set_yticks(range(len(known)), [label for _, label, _ in known])
        axes.set_ylim(len(known) - 0.45, -0.55)
        axes.set_xlim(0, 1.12 * max(max(values_of(lines, name)) for name, *_ in known))
        axes.set_xlabel("tasks per second")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(visible=False, axis="y")
        return figure

    return make


def _bar(axes: Axes, place: int, values: Sequence[float], colour: str, label: str) -> None:
    middle = median(values)
    axes.barh(place, middle, 0.62, color=colour, edgecolor=style.INK, lw=0.5, label=label)
    step = 0.4 / max(len(values) - 1, 1)
    heights = [place - 0.2 + number * step if len(values) > 1 else place
               for number in range(len(values))]  # fmt: skip
    axes.plot(values, heights, "o", ms=4, color=style.INK, mec="white", mew=0.7)
    axes.annotate(
        number_text(middle), (max(values), place), xytext=(7, 0), textcoords="offset points",
        va="center", fontweight="bold",
    )  # fmt: skip


def _cpu(profile: Mapping[str, Mapping[str, float]]) -> Callable[[], Figure] | None:
    known = [name for name in PROFILES if profile.get(name)]
    if not known:
        return None

    def make() -> Figure:
        figure = style.new_figure(1.5 + 0.85 * len(known))
        axes = figure.subplots()
        axes.set_title("Processor seconds for 1,000 tasks, by part of the stack")
        for place, name in enumerate(known):
            _stack(axes, place, profile[name], limit=_LIMITS[PROFILES[name]])
        for part, colour in _PARTS.items():
            axes.add_patch(Rectangle((0, 0), 0, 0, fc=colour, ec=style.INK, lw=0.5, label=part))
        axes.plot([], [], color=style.INK, linestyle="--", lw=1.4, label="target: at most")
        axes.set_yticks(range(len(known)), [_PROFILE_NAMES[name] for name in known])
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.margins(x=0.14)
        axes.set_xlabel("processor seconds for 1,000 tasks (milliseconds for one)")
        axes.grid(visible=False, axis="y")
        style.legend_below(figure, axes, columns=7)
        return figure

    return make


def _stack(axes: Axes, place: int, parts: Mapping[str, float], *, limit: float) -> None:
    left = 0.0
    for part, colour in _PARTS.items():
        cost = parts.get(part, 0.0)
        axes.barh(place, cost, 0.56, left=left, color=colour, edgecolor=style.INK, lw=0.5)
        left += cost
    axes.annotate(
        number_text(left), (left, place), xytext=(6, 0), textcoords="offset points",
        va="center", fontweight="bold", bbox=_BEHIND_TEXT,
    )  # fmt: skip
    axes.vlines(limit, place - 0.38, place + 0.38, color=style.INK, linestyle="--", lw=1.4)


def _latency(lines: Sequence[Line]) -> Callable[[], Figure] | None:
    known = [one for one in _LATENCIES if sample(lines, one[0])]
    if not known:
        return None

    def make() -> Figure:
        figure = style.new_figure(3.6)
        axes = figure.subplots()
        axes.set_title("Share of tasks that took longer; a curve passes left of its targets")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for name, label, colour, rows in known:
            _tail(axes, sample(lines, name), colour, label)
            for row, share in rows:
                _mark(axes, _LIMITS[row], share, colour)
        axes.plot([], [], "D", color="white", mec=style.INK, ms=7, label="target: at most")
        axes.set_xlabel("milliseconds (log scale)")
        axes.set_ylabel("tasks that took longer")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        style.legend_below(figure, axes, columns=3)
        return figure

    return make


def _tail(axes: Axes, values: Sequence[float], colour: str, label: str) -> None:
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    # The slowest is beaten by none, which a log scale cannot show: its curve ends before it.
    later = 100 * (1 - np.arange(1, len(ordered)) / len(ordered))
    shown = np.maximum(ordered[:-1], 0.05)
    axes.step(shown, later, where="post", color=colour, label=label)


def _mark(axes: Axes, limit_ms: float, share: float, colour: str) -> None:
    axes.plot(limit_ms, 100 * share, "D", color="white", mec=colour, mew=1.8, ms=8)
    axes.annotate(
        f"≤ {limit_ms:g} ms for {100 * (1 - share):g} %", (limit_ms, 100 * share),
        xytext=(9, 3), textcoords="offset points", fontsize=8.5, color=style.INK,
        bbox=_BEHIND_TEXT,
    )  # fmt: skip
