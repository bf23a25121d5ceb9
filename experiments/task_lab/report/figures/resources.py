"""What each part used over the whole run: processor, memory, disk and open files.

All panels share the time axis. Stretches without samples are hatched and nothing is drawn in them.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from task_lab.report import words
from task_lab.report.figures import style
from task_lab.report.records import Phase
from task_lab.report.resources import (
    FAMILIES,
    Floats,
    Samples,
    cores_by_family,
    families,
    gains_by_family,
    level_by_family,
    machine_cores,
    machine_rate,
)

_SKY, _YELLOW, _BROWN = "#56B4E9", "#F0E442", "#8c6d46"
_COLOURS = dict(
    zip(
        FAMILIES,
        (
            style.BLUE,
            style.ORANGE,
            _YELLOW,
            style.GREEN,
            style.RED,
            _BROWN,
            style.PURPLE,
            _SKY,
            style.FAINT,
        ),
        strict=True,
    )
)
_NAMES = {"worker": "workers"}
_OTHER = "#444444"
_GAP = "#c9c9c9"
_DASHED = (0, (4, 3))
# Of a character of the labels above the first panel, in parts of the panel's width.
_CHARACTER = 0.0072


def resources(phases: Sequence[Phase], samples: Samples) -> Figure:
    """Cores, memory, disk writes and open files by part, with the phases shaded."""
    figure = style.new_figure(9.4)
    rows = figure.subplots(4, 1, sharex=True, height_ratios=(3, 2, 2, 2))
    panels = cast("list[Axes]", list(cast("npt.NDArray[np.object_]", rows)))
    zero = _zero(phases, samples)
    for axes in panels:
        _shade(axes, phases, samples, zero)
        axes.grid(visible=False, axis="x")
    _cores(panels[0], samples, zero)
    _memory(panels[1], samples, zero)
    _disk(panels[2], samples, zero)
    _files(panels[3], samples, zero)
    end = max([*(p.ended_at for p in phases), *samples.at[-1:]], default=zero + 1) - zero
    start = min([*(p.started_at for p in phases), *samples.at[:1]], default=zero) - zero
    panels[0].set_xlim(start, max(end, start + 1))
    panels[-1].set_xlabel("seconds since the first phase began")
    _name_points(panels[0], phases, zero, max(end - start, 1))
    _legend(figure, samples)
    return figure


def _cores(axes: Axes, samples: Samples, zero: float) -> None:
    axes.set_title("Processor", pad=22)
    axes.set_ylabel("cores")
    _stack(axes, samples.at[1:] - zero, cores_by_family(samples), step="pre")
    axes.step(
        samples.at[1:] - zero,
        machine_cores(samples, "busy_s"),
        where="pre",
        color=style.INK,
        lw=0.9,
    )
    axes.axhline(samples.cpu["busy_s"].shape[1], color=style.INK, lw=0.8, ls=_DASHED)
    axes.set_ylim(bottom=0)


def _memory(axes: Axes, samples: Samples, zero: float) -> None:
    axes.set_title("Memory: private pages, and the shared ones of each part once")
    axes.set_ylabel("MiB")
    levels = level_by_family(samples, "memory_bytes")
    # A gap gets an instant inside it at which there is nothing.
    at, levels = _broken(samples, {k: v / 2**20 for k, v in levels.items()})
    _stack(axes, at - zero, levels)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _disk(axes: Axes, samples: Samples, zero: float) -> None:
    axes.set_title("Disk: written by each part, and by the whole machine")
    axes.set_ylabel("MB/s")
    rates = {
        kind: gained / samples.elapsed_s / 1e6
        for kind, gained in gains_by_family(samples, "written_bytes").items()
    }
    at = samples.at[1:] - zero
    _stack(axes, at, rates, step="pre")
    whole = machine_rate(samples, "disk_written_bytes") / 1e6
    axes.step(at, whole, where="pre", color=style.INK, lw=0.9)
    axes.set_ylim(bottom=0)


def _files(axes: Axes, samples: Samples, zero: float) -> None:
    axes.set_title("Open file descriptors")
    axes.set_ylabel("descriptors")
    at, levels = _broken(samples, level_by_family(samples, "fds"))
    for kind, level in levels.items():
        shown = np.where(level > 0, level, np.nan)
        axes.plot(at - zero, shown, color=_COLOURS.get(kind, _OTHER), lw=1.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _stack(
    axes: Axes, at: Floats, values: Mapping[str, Floats], *, step: str | None = None
) -> None:
    """Areas one upon the other; nothing where one of them is not known."""
    floor = np.zeros(len(at))
    for kind, value in values.items():
        top = floor + value
        axes.fill_between(
            at, floor, top, color=_COLOURS.get(kind, _OTHER), alpha=0.85, lw=0,
            step="pre" if step else None,
        )  # fmt: skip
        floor = top


def _broken(samples: Samples, levels: Mapping[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
    """The levels with a NaN inside every gap, and the instants that belong to them."""
    gaps = np.flatnonzero(samples.is_gap)
    middle = (samples.at[gaps] + samples.at[gaps + 1]) / 2
    at = np.insert(samples.at, gaps + 1, middle)
    return at, {kind: np.insert(level, gaps + 1, np.nan) for kind, level in levels.items()}


def _shade(axes: Axes, phases: Sequence[Phase], samples: Samples, zero: float) -> None:
    """Every second phase on grey, the warm-up hatched, as in the other timelines; gaps crossed."""
    for index, phase in enumerate(phases):
        left, right = phase.started_at - zero, phase.ended_at - zero
        if phase.kind == "warmup":
            axes.axvspan(left, right, facecolor="none", edgecolor="#cccccc", hatch="///", lw=0)
        elif index % 2:
            axes.axvspan(left, right, color=style.SHADE, lw=0)
    for step in np.flatnonzero(samples.is_gap):
        left, right = samples.at[step] - zero, samples.at[step + 1] - zero
        axes.axvspan(left, right, facecolor="white", edgecolor=_GAP, hatch="xxx", lw=0, zorder=3)


def _name_points(axes: Axes, phases: Sequence[Phase], zero: float, span_s: float) -> None:
    """Workload and workers above each stretch of phases, as much of it as there is room for."""
    for (workload, workers), own in groupby(phases, key=lambda p: (p.workload, p.workers)):
        stretch = list(own)
        left = stretch[0].started_at - zero
        share = (stretch[-1].ended_at - stretch[0].started_at) / span_s
        labels = (f"{workload}, {words.workers(workers)}", f"{workload} {workers}", str(workers))
        room = share / _CHARACTER
        label = next((text for text in labels if len(text) < room), "")
        axes.axvline(left, color=style.FAINT, lw=0.7)
        axes.text(
            left, 1.01, f" {label}", transform=axes.get_xaxis_transform(), fontsize=8, va="bottom"
        )


def _legend(figure: Figure, samples: Samples) -> None:
    shown = [
        Patch(color=_COLOURS.get(kind, _OTHER), alpha=0.85, label=_NAMES.get(kind, kind))
        for kind in families(samples)
    ]
    line = Line2D([], [], color=style.INK, lw=0.9, label="whole machine")
    cores = Line2D([], [], color=style.INK, lw=0.8, ls=_DASHED, label="all its cores")
    gap = Patch(facecolor="white", edgecolor=_GAP, hatch="xxx", label="no samples")
    figure.legend(
        handles=[*shown, line, cores, *([gap] if samples.is_gap.any() else [])],
        loc="outside lower center",
        ncols=6,
    )


def _zero(phases: Sequence[Phase], samples: Samples) -> float:
    if phases:
        return phases[0].started_at
    return float(samples.at[0]) if len(samples.at) else 0.0
