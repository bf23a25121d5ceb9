"""Throughput over worker counts: speed-ups, the law with its band and misses, who did the work."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from task_lab.report import law_words, words
from task_lab.report.counts import LARGEST_FAIR_SHARE
from task_lab.report.figures import style
from task_lab.report.points import rate_values
from task_lab.scaling.residuals import DOUBTFUL, LIMIT

_MARKS = ("o", "s", "^", "D", "v")
_SHARES = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.FAINT)


def speedup_curves(summary: Mapping[str, Any]) -> Figure:
    """Speed-up and efficiency of every workload over the worker counts, beside the ideal."""
    figure = style.new_figure(4.2)
    left, right = figure.subplots(1, 2)
    workloads = list(dict.fromkeys(point["workload"] for point in summary["points"]))
    most = max((point["workers"] for point in summary["points"]), default=1)
    for slot, workload in enumerate(workloads):
        found = [one for one in summary["speedups"] if one["workload"] == workload]
        for axes, field, bounds in (
            (left, "ratio", "interval"),
            (right, "efficiency", "efficiency_interval"),
        ):
            _series(axes, found, field, bounds, (workload, slot, len(workloads)))
    base = min((one["workers"][0] for one in summary["speedups"]), default=1)
    ideal = {
        "color": style.INK,
        "linestyle": "--",
        "linewidth": 1.1,
        "label": "each worker as the first",
    }
    left.plot([base, most], [1, most / base], **ideal)
    right.axhline(1.0, **ideal)
    left.set_title(f"Speed-up against {words.workers(base)}")
    right.set_title("Efficiency: speed-up ÷ workers")
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in (left, right):
        _over_workers(axes, base, most)
        axes.set_ylim(bottom=0)
    style.legend_below(figure, left, columns=5)
    return figure


def _series(
    axes: Axes,
    found: Sequence[Mapping[str, Any]],
    field: str,
    bounds: str,
    place: tuple[str, int, int],
) -> None:
    """A workload's values, a little beside those of the others; hollow where flagged."""
    workload, slot, of = place
    colour, mark = style.WORKER_COLOURS[slot % 5], _MARKS[slot % 5]
    if not found:
        return
    aside = (slot - (of - 1) / 2) * 0.09
    xs = [found[0]["workers"][0], *(one["workers"][1] for one in found)]
    ys = [1.0, *(one[field] for one in found)]
    axes.plot([x + aside for x in xs], ys, color=colour, marker=mark, ms=5, label=workload)
    for one in found:
        x, interval = one["workers"][1] + aside, one[bounds]
        if interval is not None:
            axes.vlines(
                x, interval["low"], interval["high"], color=colour, linewidth=2.4, alpha=0.5
            )
        if one["flagged"]:
            axes.plot(x, one[field], mark, color=colour, mfc="white", ms=9, mew=1.6)


def law(summary: Mapping[str, Any], workload: str) -> Figure:
    """Every drain of a workload with the law through them, and how far each is from it."""
    found = next(one for one in summary["usl"] if one["workload"] == workload)
    points = [point for point in summary["points"] if point["workload"] == workload]
    has_misses = bool(found["residuals"])
    figure = style.new_figure(5.6 if has_misses else 3.8)
    if has_misses:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _misses(lower, found, points)
    else:
        upper = lower = figure.subplots()
    _measured(upper, points)
    if found["curve"]:
        _curve(upper, found)
    counts = [point["workers"] for point in points]
    _over_workers(lower, min(counts), max(counts))
    upper.set_ylabel("tasks per second, drained")
    upper.yaxis.set_major_formatter("{x:,.0f}")
    upper.set_ylim(bottom=0)
    upper.set_title(_law_title(found))
    style.legend_below(figure, upper, columns=4)
    return figure


def _law_title(found: Mapping[str, Any]) -> str:
    if found["refused"]:
        return f"{found['workload']}: no law fits"
    sigma, kappa = (law_words.estimate(found[name]) for name in ("sigma", "kappa"))
    return f"{found['workload']}: sigma {sigma}, kappa {kappa}"


def _measured(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    for index, point in enumerate(points):
        rates = rate_values(dict(point), "drain_per_s")
        hidden = "_" if index else ""
        aside = [point["workers"] + _beside(number, len(rates)) for number in range(len(rates))]
        axes.plot(
            aside,
            rates,
            "o",
            ms=3.4,
            color=style.INK,
            alpha=0.55,
            mew=0,
            label=f"{hidden}one drain",
        )
        if point["drain_per_s"] is not None:
            axes.plot(
                point["workers"], point["drain_per_s"], "_", ms=17, mew=2, color=style.ORANGE,
                label=f"{hidden}median",
            )  # fmt: skip


def _beside(number: int, of: int) -> float:
    """How far beside its count one of several measurements is drawn, so that all are seen."""
    return (number - (of - 1) / 2) * 0.2 / max(of - 1, 1)


def _curve(axes: Axes, found: Mapping[str, Any]) -> None:
    curve, peak = found["curve"], found["peak"]
    xs = [one["workers"] for one in curve]
    axes.fill_between(
        xs, [one["low"] for one in curve], [one["high"] for one in curve],
        color=style.BLUE, alpha=0.15, linewidth=0, label="95 % band",
    )  # fmt: skip
    axes.plot(xs, [one["per_s"] for one in curve], color=style.BLUE, label="the law")
    if peak["workers"] is not None:
        axes.plot(peak["workers"], peak["per_s"], "*", ms=13, color=style.RED, label="its peak")


def _misses(axes: Axes, found: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
    """Measured against fitted, with the limits beyond which there is no law."""
    fitted = {one["workers"]: one["fitted_per_s"] for one in found["residuals"]}
    highest = LIMIT
    for point in points:
        if point["workers"] not in fitted:
            continue
        rates = rate_values(dict(point), "drain_per_s")
        aside = [point["workers"] + _beside(number, len(rates)) for number in range(len(rates))]
        away = [rate / fitted[point["workers"]] - 1 for rate in rates]
        axes.plot(aside, away, "o", ms=3.4, color=style.INK, alpha=0.55, mew=0)
        highest = max(highest, *(abs(one) for one in away))
    for one in found["residuals"]:
        axes.plot(one["workers"], one["relative"], "_", ms=17, mew=2, color=style.ORANGE)
    axes.axhline(0, color=style.BLUE)
    for limit, line in ((DOUBTFUL, ":"), (LIMIT, "--")):
        for sign in (-1, 1):
            axes.axhline(sign * limit, color=style.RED, linestyle=line, linewidth=1)
    axes.set_ylim(-highest * 1.15, highest * 1.15)
    axes.set_ylabel("measured ÷\nlaw, less 1")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def shares(summary: Mapping[str, Any]) -> Figure:
    """How the workers of each count split the work, mean over its drains, largest first."""
    workloads = list(dict.fromkeys(one["workload"] for one in summary["worker_shares"]))
    figure = style.new_figure(3.2)
    panels = figure.subplots(1, max(len(workloads), 1), sharey=True, squeeze=False)[0]
    for axes, workload in zip(panels, workloads, strict=False):
        _split(axes, workload, summary["worker_shares"])
    panels[0].set_ylabel("share of the tasks")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[0].set_ylim(0, 1)
    return figure


def _split(axes: Axes, workload: str, found: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title(workload)
    axes.grid(visible=False, axis="x")
    by_count: dict[int, list[Sequence[float]]] = {}
    for one in found:
        if one["workload"] == workload:
            by_count.setdefault(one["workers"], []).append(one["shares"])
    for workers, drains in by_count.items():
        below = 0.0
        for place in range(workers):
            values = [drain[place] if place < len(drain) else 0.0 for drain in drains]
            share = sum(values) / len(values)
            axes.bar(
                workers, share, 0.7, bottom=below, color=_SHARES[place % len(_SHARES)],
                edgecolor="white", linewidth=0.8,
            )  # fmt: skip
            below += share
    axes.axhline(LARGEST_FAIR_SHARE, color=style.RED, linestyle="--", linewidth=1.1)
    axes.set_xlabel("workers")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _over_workers(axes: Axes, fewest: int, most: int) -> None:
    axes.set_xlabel("workers")
    axes.set_xlim(fewest - 0.3, most + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
