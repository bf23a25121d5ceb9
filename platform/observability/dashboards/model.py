"""What a dashboard is here: rows of panels, each with queries, a unit and a description."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RATE = "$__rate_interval"
# A type chosen at the top of the page; all of them unless one is.
TYPE = 'task_type=~"${task_type:regex}"'


class Kind(StrEnum):
    """How Grafana draws a panel."""

    CURVES = "timeseries"
    FIGURE = "stat"
    TABLE = "table"


class Unit(StrEnum):
    """Grafana's names of units."""

    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    COUNT = "short"
    PER_SECOND = "ops"
    PER_MINUTE = "opm"
    BYTES_PER_SECOND = "Bps"
    YES_NO = "bool_yes_no"
    ON_OFF = "bool_on_off"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what its series are called: `{{label}}` stands for a label's value.

    empty_when: the reason for which it may have no value at all although nothing is wrong.
    """

    expression: str
    legend: str
    empty_when: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing.

    width: of 24 columns. warn_at, bad_at: where a figure turns orange and red.
    """

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = Kind.CURVES
    width: int = 8
    height: int = 8
    stacked: bool = False
    most: float | None = None
    warn_at: float | None = None
    bad_at: float | None = None
    no_value: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the page: the values of a label, all of them at first."""

    name: str
    title: str
    values: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. uid: part of its address, never to be changed."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


TASK_TYPE = Variable(
    "task_type", "Task type", "label_values(worker_tasks_processed_total, task_type)"
)


def figure(
    title: str,
    expression: str,
    unit: Unit,
    description: str,
    *,
    width: int = 4,
    warn_at: float | None = None,
    bad_at: float | None = None,
    no_value: str = "",
) -> Panel:
    """A panel with one number."""
    return Panel(
        title,
        description,
        unit,
        (Query(expression, title),),
        kind=Kind.FIGURE,
        width=width,
        height=4,
        warn_at=warn_at,
        bad_at=bad_at,
        no_value=no_value,
    )


def quantiles(metric: str, selector: str = "") -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram over all processes."""
    return tuple(
        Query(
            f"histogram_quantile({quantile}, "
            f"sum by (le) (rate({metric}_bucket{{{selector}}}[{RATE}])))",
            f"p{round(quantile * 100)}",
        )
        for quantile in (0.5, 0.95, 0.99)
    )


def sizes(metric: str) -> tuple[Query, ...]:
    """Mean and p95 of a histogram of sizes. Its median would be read between 0 and 1 task."""
    return (
        Query(f"sum(rate({metric}_sum[{RATE}])) / sum(rate({metric}_count[{RATE}]))", "mean"),
        Query(f"histogram_quantile(0.95, sum by (le) (rate({metric}_bucket[{RATE}])))", "p95"),
    )
