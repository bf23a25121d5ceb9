"""Rows and their targets: every boundary, and that nothing asked for goes missing."""

from __future__ import annotations

import math

import pytest
from task_lab.bench.rows import TARGETS, Found, Group, Sense, Target, judge, judge_row, meets

BY_NAME = {target.name: target for target in TARGETS}

# What each row's target is, as it was agreed; a change of one must be meant.
AGREED = {
    "drain_1w_per_floor": (Sense.AT_LEAST, 0.75),
    "drain_1w_per_s": (Sense.AT_LEAST, 15_000),
    "drain_2w_per_1w": (Sense.AT_LEAST, 1.1),
    "drain_3w_per_1w": (Sense.AT_LEAST, 0.75),
    "drain_1w_per_pgqueuer": (Sense.AT_LEAST, 1.0),
    "single_posts_per_s": (Sense.AT_LEAST, 5_000),
    "single_posts_per_empty_route": (Sense.AT_LEAST, 0.6),
    "bulk_submit_per_s": (Sense.AT_LEAST, 20_000),
    "end_to_end_per_s": (Sense.AT_LEAST, 2_200),
    "sleep_3w_per_1w": (Sense.AT_LEAST, 2.85),
    "sleep_6w_per_1w": (Sense.AT_LEAST, 5.5),
    "idle_p50_ms": (Sense.AT_MOST, 6),
    "idle_p99_ms": (Sense.AT_MOST, 20),
    "open_loop_queue_wait_p95_ms": (Sense.AT_MOST, 15),
    "million_rows_buffers": (Sense.AROUND_ONE, 0.05),
    "million_rows_drain_low": (Sense.AT_LEAST, 0.85),
    "backlog_worker_growth_mb": (Sense.AT_MOST, 16),
    "backlog_api_growth_mb": (Sense.AT_MOST, 16),
    "cpu_drain_ms_per_task": (Sense.AT_MOST, 0.15),
    "cpu_end_to_end_ms_per_task": (Sense.AT_MOST, 0.80),
}


def test_the_targets_are_those_that_were_agreed() -> None:
    assert {t.name: (t.sense, t.limit) for t in TARGETS} == AGREED
    assert len(TARGETS) == len(BY_NAME)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_a_value_at_its_limit_passes_and_one_just_beyond_does_not(target: Target) -> None:
    if target.sense is Sense.AROUND_ONE:
        inside, outside = [1 - target.limit, 1, 1 + target.limit], [0.949, 1.051]
    else:
        towards = math.inf if target.sense is Sense.AT_MOST else -math.inf
        inside, outside = [target.limit], [math.nextafter(target.limit, towards)]
    assert all(judge_row(target, Found(value)).is_pass for value in inside)
    assert not any(judge_row(target, Found(value)).is_pass for value in outside)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_what_is_no_number_fails_and_says_so(target: Target, value: float | None) -> None:
    row = judge_row(target, Found(value), "wrk is not installed")
    assert (row.is_pass, row.value) == (False, None)
    assert row.note == "not measured: wrk is not installed"
    assert judge_row(target, Found(value)).note == "not measured"


def test_every_row_of_the_groups_asked_for_is_there_and_no_other() -> None:
    rows = judge([Group.LATENCY, Group.BULK], {}, {Group.BULK: "no broker"})
    assert [row.target.name for row in rows] == [
        "bulk_submit_per_s",
        "idle_p50_ms",
        "idle_p99_ms",
        "open_loop_queue_wait_p95_ms",
    ]
    assert not any(row.is_pass for row in rows)
    assert [row.note for row in rows] == ["not measured: no broker", *["not measured"] * 3]


def test_every_group_has_rows_but_the_flame_graphs() -> None:
    assert {target.group for target in TARGETS} == set(Group) - {Group.FLAMES}


@pytest.mark.parametrize(
    ("value", "passes", "note"),
    [
        (0.99, False, "1.3 is wanted: not reached"),
        (1.29, True, "1.3 is wanted: not reached"),
        (1.3, True, "1.3 is wanted: reached"),
    ],
)
def test_more_is_wanted_of_the_peer_than_its_target(value: float, passes: bool, note: str) -> None:
    row = judge_row(BY_NAME["drain_1w_per_pgqueuer"], Found(value))
    assert (row.is_pass, row.note) == (passes, note)


def test_a_share_off_one_is_the_same_above_and_below() -> None:
    target = BY_NAME["million_rows_buffers"]
    assert meets(target, 10.5 / 10) and meets(target, 9.5 / 10)
