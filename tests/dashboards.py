"""What the dashboards ask, for tests that ask a real Prometheus, and pictures of the answers.

`queries()` lists every query of every panel with its variables filled in. `ask()` answers one of
them over a stretch of time, `draw()` makes a picture of a panel from what was answered:

    for query in queries():
        answer = ask(url, query, start, end, step_s=5)
        assert answer or query.may_be_empty, query
    for panel_queries in by_panel():
        draw(panel_queries, [ask(url, q, start, end, step_s=5) for q in panel_queries], folder)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import httpx
from observability.dashboards import DASHBOARDS
from observability.dashboards.model import Dashboard, Panel


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of a panel. may_be_empty: why it may have no series at all, or nothing."""

    dashboard: str
    row: str
    panel: str
    ref: str
    expression: str
    legend: str
    unit: str
    may_be_empty: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of an answer: what it is called, and (unix seconds, finite value)s."""

    name: str
    points: tuple[tuple[float, float], ...]


def filled_in(expression: str, *, rate: str = "30s") -> str:
    """The expression as Grafana would send it, with everything chosen."""
    expression = expression.replace("$__rate_interval", rate)
    return re.sub(r"\$\{\w+:regex\}", ".*", expression)


def queries(*, rate: str = "30s") -> Iterator[PanelQuery]:
    """Every query of every panel; rate: what to put for Grafana's interval of rates."""
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            for panel in row.panels:
                yield from _of_panel(dashboard, row.title, panel, rate)


def by_panel(*, rate: str = "30s") -> Iterator[tuple[PanelQuery, ...]]:
    """The queries, those of one panel together."""
    for _, found in groupby(queries(rate=rate), key=lambda q: (q.dashboard, q.row, q.panel)):
        yield tuple(found)


def _of_panel(dashboard: Dashboard, row: str, panel: Panel, rate: str) -> Iterator[PanelQuery]:
    for index, query in enumerate(panel.queries):
        yield PanelQuery(
            dashboard=dashboard.title,
            row=row,
            panel=panel.title,
            ref=chr(ord("A") + index),
            expression=filled_in(query.expression, rate=rate),
            legend=query.legend,
            unit=panel.unit.value,
            may_be_empty=query.empty_when,
        )


def ask(url: str, query: PanelQuery, start: float, end: float, *, step_s: float) -> list[Curve]:
    """The curves of a query between two moments in unix seconds, without points that are NaN.

    Curves without any point are left out. Raises httpx.HTTPStatusError when Prometheus refuses.
    """
    parameters: dict[str, str | float] = {
        "query": query.expression,
        "start": start,
        "end": end,
        "step": step_s,
    }
    answer = httpx.get(f"{url}/api/v1/query_range", params=parameters, timeout=30)
    answer.raise_for_status()
    curves = []
    for series in answer.json()["data"]["result"]:
        points = tuple(
            (float(at), float(value))
            for at, value in series["values"]
            if math.isfinite(float(value))
        )
        if points:
            curves.append(Curve(_name(query.legend, series["metric"]), points))
    return curves


def _name(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def draw(asked: Sequence[PanelQuery], answers: Sequence[Sequence[Curve]], folder: Path) -> Path:
    """Draw all curves of one panel into a PNG; its path."""
    from matplotlib.dates import DateFormatter
    from matplotlib.figure import Figure

    first = asked[0]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    for curve in (curve for curves in answers for curve in curves):
        times = [datetime.fromtimestamp(at, UTC) for at, _ in curve.points]
        values = [value for _, value in curve.points]
        axes.plot(times, values, label=curve.name, linewidth=1, marker=".", markersize=2)  # type: ignore[arg-type]
    axes.set_title(f"{first.dashboard} · {first.row} · {first.panel}", fontsize=9)
    axes.set_ylabel(first.unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center")
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{first.dashboard} {first.row} {first.panel}".lower())
    path = folder / f"{name.strip('-')}.png"
    figure.savefig(path, dpi=110)
    return path
