"""The figure of a run so far, and the same in words. Pure: a state in, a picture out."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from task_lab.live.glyphs import clock
from task_lab.live.state import RunState
from task_lab.report.figures.style import BLUE, FAINT, GREEN, INK, ORANGE, RED, SHADE

_SIZE_IN, _DPI = (9.6, 3.6), 90


def told(state: RunState, now: float) -> str:
    """The figure in words, for those who cannot see it."""
    moment = state.moment(now)
    backlog = state.backlog(moment)
    queue = "" if backlog is None else f", {backlog:,} in the queue"
    faults = [f"{fault.name} {fault.state}" for fault in state.lane.faults]
    return ", ".join(
        [
            f"{clock(state.elapsed_s(now))}: {state.stage_text()}",
            f"{state.outcomes['accepted']:,} tasks accepted",
            f"{state.submit_per_s(moment):,.0f}/s now{queue}",
            *faults,
        ]
    )


def draw(state: RunState, now: float) -> Figure:
    """Accepted tasks per second and the depth of the queue since the run began, faults shaded.

    Nothing of matplotlib's global settings is touched: this runs beside whatever a cell draws.
    """
    figure = Figure(figsize=_SIZE_IN, facecolor="white")
    # By hand: to compute the margins takes longer than all the rest.
    figure.subplots_adjust(left=0.075, right=0.985, top=0.92, bottom=0.135, hspace=0.12)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    start, moment = state.started_at or now, state.moment(now)
    end_s = max(moment - start, 1.0)
    for axes, curve, colour, label in (
        (above, state.accepted.curve(), GREEN, "accepted /s"),
        (below, state.depth.curve(), BLUE, "in the queue"),
    ):
        # A second that is not over yet would look like a dip.
        whole = [(second, value) for second, value in curve if second + 1 <= moment]
        _curve(axes, whole, start, colour, label)
    for axes in (above, below):
        for phase in state.phases.values():
            until = end_s if phase.ended_at is None else phase.ended_at - start
            axes.axvspan(phase.started_at - start, until, color=SHADE, zorder=0)
        for fault in state.lane.faults:
            if fault.struck_at is not None:
                begin_s = fault.struck_at - start
                until = end_s if fault.over_at is None else fault.over_at - start
                colour = RED if fault.is_active else ORANGE
                axes.axvspan(begin_s, max(until, begin_s), color=colour, alpha=0.3, lw=0, zorder=1)
    _name_faults(above, state, start, end_s)
    below.set_xlim(0, end_s)
    below.set_xlabel("seconds since the run began", color=INK, fontsize=9)
    above.set_title(
        f"{clock(end_s)}  {state.stage_text()}", loc="left", fontsize=10, color=INK, weight="bold"
    )
    counts = f"{state.outcomes['accepted']:,} of {state.offered:,} accepted"
    above.set_title(counts, loc="right", fontsize=9, color=INK)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a picture."""
    figure.set_dpi(_DPI)
    target = io.BytesIO()
    # To compress well would take longer than to draw.
    options = {"compress_level": 1}
    FigureCanvasAgg(figure).print_png(target, pil_kwargs=options)  # type: ignore[no-untyped-call]
    return target.getvalue()


def _curve(
    axes: Axes, points: list[tuple[int, float]], start: float, colour: str, label: str
) -> None:
    times: list[float] = []
    values: list[float] = []
    for second, value in points:
        if times and second + 0.5 - start > times[-1] + 1.5:
            times.append(second - start)
            values.append(float("nan"))  # nobody looked: the curve has a gap
        times.append(second + 0.5 - start)
        values.append(value)
    axes.plot(times, values, color=colour, lw=1.6, zorder=3)
    axes.fill_between(times, values, color=colour, alpha=0.15, lw=0, zorder=2)
    axes.set_ylabel(label, color=INK, fontsize=9)
    axes.set_ylim(0, max([1.0, *(value for _, value in points)]) * 1.15)
    axes.grid(True, color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def _name_faults(axes: Axes, state: RunState, start: float, end_s: float) -> None:
    struck = [(fault, fault.struck_at) for fault in state.lane.faults]
    for number, (fault, at) in enumerate((fault, at) for fault, at in struck if at is not None):
        is_late = at - start > end_s * 0.7
        axes.annotate(
            f"{fault.name}: {fault.state}",
            (at - start, 0.97 - 0.13 * (number % 3)),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if is_late else 3, 0),
            textcoords="offset points",
            ha="right" if is_late else "left",
            va="top",
            fontsize=8,
            color=INK,
            zorder=4,
        )
