"""The bench's rows: what each compares, its target, and whether a value meets it. Pure.

Every target stands here once. A row that was asked for is never left out: without a value it fails
and says why.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """What can be measured alone; in the order in which a bench measures."""

    DRAIN = "drain"
    PEER = "peer"
    SLEEP = "sleep"
    HTTP = "http"
    BULK = "bulk"
    END_TO_END = "end_to_end"
    LATENCY = "latency"
    SIZE = "size"
    BACKLOG = "backlog"
    FLAMES = "flames"


class Sense(StrEnum):
    """How a value must stand to its limit. AROUND_ONE: at most the limit away from 1."""

    AT_LEAST = ">="
    AT_MOST = "<="
    AROUND_ONE = "1 ±"


@dataclass(frozen=True, slots=True)
class Target:
    """One row before it is measured. meaning: a sentence for somebody who is new to it."""

    name: str
    group: Group
    sense: Sense
    limit: float
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the measurements say of a row.

    value: None where it was not measured. low, high: the lowest and highest single measurement.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A judged row. value: None where there is none. note: why it failed, or what to know of it."""

    target: Target
    value: float | None
    low: float | None
    high: float | None
    is_pass: bool
    note: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A value without a target, beside the rows."""

    name: str
    value: float
    unit: str


# Wanted of the comparison with PgQueuer, beyond its target.
WANTED_PER_PGQUEUER = 1.3
NOT_MEASURED = "not measured"

_MIN, _MAX, _NEAR = Sense.AT_LEAST, Sense.AT_MOST, Sense.AROUND_ONE
TARGETS: tuple[Target, ...] = (
    Target(
        "drain_1w_per_floor", Group.DRAIN, _MIN, 0.75, "ratio",
        "One worker's rate over a full queue, as a share of what bare loops reach at the same"
        " durable work on the same servers.",
    ),
    Target(
        "drain_1w_per_s", Group.DRAIN, _MIN, 15_000, "tasks/s",
        "The rate at which one worker empties a full queue.",
    ),
    Target(
        "drain_2w_per_1w", Group.DRAIN, _MIN, 1.1, "ratio",
        "What a second worker brings where all of them compute.",
    ),
    Target(
        "drain_3w_per_1w", Group.DRAIN, _MIN, 0.75, "ratio",
        "How little is lost with more workers than cores, which fight for them.",
    ),
    Target(
        "drain_1w_per_pgqueuer", Group.PEER, _MIN, 1.0, "ratio",
        "One worker's rate over that of one worker of PgQueuer, which keeps its queue in the same"
        " database, in its best durable setting.",
    ),
    Target(
        "single_posts_per_s", Group.HTTP, _MIN, 5_000, "requests/s",
        "Single submissions that the API alone accepts, each with an idempotency key of its own,"
        " over 64 connections.",
    ),
    Target(
        "single_posts_per_empty_route", Group.HTTP, _MIN, 0.6, "ratio",
        "The same as a share of a route that reads the same body and does nothing.",
    ),
    Target(
        "bulk_submit_per_s", Group.BULK, _MIN, 20_000, "tasks/s",
        "Tasks committed and handed to the broker, sent 500 in a request and 4 requests at a time.",
    ),
    Target(
        "end_to_end_per_s", Group.END_TO_END, _MIN, 2_200, "tasks/s",
        "2,000 single submissions from first send to last result: load generator, API, one worker"
        " and the servers all on the same cores.",
    ),
    Target(
        "sleep_3w_per_1w", Group.SLEEP, _MIN, 2.85, "ratio",
        "What three workers bring over one where tasks wait, 100 ms each, instead of computing.",
    ),
    Target(
        "sleep_6w_per_1w", Group.SLEEP, _MIN, 5.5, "ratio",
        "The same with six workers.",
    ),
    Target(
        "idle_p50_ms", Group.LATENCY, _MAX, 6, "ms",
        "From sending one task to an idle platform to its committed result; half of the tasks are"
        " faster.",
    ),
    Target(
        "idle_p99_ms", Group.LATENCY, _MAX, 20, "ms",
        "The same; 99 of 100 tasks are faster.",
    ),
    Target(
        "open_loop_queue_wait_p95_ms", Group.LATENCY, _MAX, 15, "ms",
        "From a task's due time to its start, while tasks arrive at random at half of the highest"
        " rate that the platform keeps up with; 95 of 100 tasks are faster.",
    ),
    Target(
        "million_rows_buffers", Group.SIZE, _NEAR, 0.05, "ratio",
        "Database pages touched to claim and finish a task beside a million finished ones, over"
        " the same with an empty table. A primary key of a million ids is a tree with one level"
        " more, up to 20 million, and each of a task's three look-ups reads a page of it.",
    ),
    Target(
        "million_rows_drain_low", Group.SIZE, _MIN, 0.85, "ratio",
        "One worker's rate beside a million finished tasks over that with an empty table: the lower"
        " end of the ratio's 95 % interval.",
    ),
    Target(
        "backlog_worker_growth_mb", Group.BACKLOG, _MAX, 16, "MB",
        "Memory that the worker takes more beside a million waiting tasks than before them.",
    ),
    Target(
        "backlog_api_growth_mb", Group.BACKLOG, _MAX, 16, "MB",
        "The same for the API.",
    ),
    Target(
        "cpu_drain_ms_per_task", Group.DRAIN, _MAX, 0.15, "ms",
        "Processor time of the whole stack for one task of a full queue, with one worker.",
    ),
    Target(
        "cpu_end_to_end_ms_per_task", Group.END_TO_END, _MAX, 0.80, "ms",
        "Processor time for one task from its submission to its result, the load generator counted"
        " in.",
    ),
)  # fmt: skip


def judge(
    groups: Collection[Group], found: Mapping[str, Found], why_missing: Mapping[Group, str]
) -> list[Row]:
    """A row for every target of the groups asked for, in the order of `TARGETS`.

    found: by row name. why_missing: by group, for rows that have no value.
    """
    return [
        judge_row(target, found.get(target.name, Found(None)), why_missing.get(target.group, ""))
        for target in TARGETS
        if target.group in groups
    ]


def judge_row(target: Target, found: Found, why_missing: str = "") -> Row:
    """The target's row. A value that is missing or no number fails, with the reason as its note."""
    value = found.value
    if value is None or not math.isfinite(value):
        note = f"{NOT_MEASURED}: {why_missing}" if why_missing else NOT_MEASURED
        return Row(target, value=None, low=None, high=None, is_pass=False, note=note)
    return Row(target, value, found.low, found.high, meets(target, value), note_on(target, value))


def meets(target: Target, value: float) -> bool:
    """Whether a finite value meets the target; a value at its limit does."""
    if target.sense is Sense.AT_LEAST:
        return value >= target.limit
    if target.sense is Sense.AT_MOST:
        return value <= target.limit
    # 0.05 away from 1 must not fail for the last bit of a division.
    return abs(value - 1) <= target.limit + 1e-9


def note_on(target: Target, value: float) -> str:
    """What the target alone does not say of a value."""
    if target.name == "drain_1w_per_pgqueuer":
        reached = "reached" if value >= WANTED_PER_PGQUEUER else "not reached"
        return f"{WANTED_PER_PGQUEUER:g} is wanted: {reached}"
    return ""
