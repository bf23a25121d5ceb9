"""What a load and two readings of the CPU come to."""

from __future__ import annotations

from typing import Any

import pytest
from task_lab.bench.ledger import Range, patience_s
from task_lab.bench.measurements import PromisedLess
from task_lab.bench.sitting import accepted, spent
from task_lab.load.wire import SenderReport


def report(**changed: Any) -> SenderReport:
    fields: dict[str, Any] = {
        "phase": "p",
        "submitted": 10,
        "accepted": 10,
        "rejected": 0,
        "unknown": 0,
        "first_scheduled_at": 0.0,
        "first_sent_at": 0.0,
        "last_answered_at": 1.0,
        "duration_s": 1.0,
        "cpu_s": 0.1,
        "loop_lag_s": [],
        "send_lag_s": [],
        "first_id": "a",
        "last_id": "z",
        "problems": {},
    }
    return SenderReport(**{**fields, **changed})


def test_a_load_that_was_accepted_whole_is_a_range_of_tasks() -> None:
    assert accepted(report(), 10) == Range("a", "z", 10)


@pytest.mark.parametrize(
    "changed",
    [
        {"accepted": 9, "rejected": 1, "problems": {"HTTP 503": 1}},
        {"accepted": 11},
        {"accepted": 10, "first_id": None},
    ],
)
def test_a_load_that_was_not_is_a_broken_promise(changed: dict[str, Any]) -> None:
    with pytest.raises(PromisedLess, match="of 10 tasks"):
        accepted(report(**changed), 10)


def test_cpu_is_told_by_part_and_never_negative() -> None:
    before = {"worker": 1.0, "api": 5.0}
    after = {"worker": 1.5, "api": 4.0, "relay": 0.25}
    assert spent(before, after) == {"worker": 0.5, "api": 0.0, "relay": 0.25}


def test_the_slowest_drain_is_far_from_its_deadline() -> None:
    assert patience_s(6_000) > 2 * 6_000 / 500
