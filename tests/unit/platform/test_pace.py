"""How fast a worker finishes tasks."""

from __future__ import annotations

import pytest
from task_platform.worker.pace import Pace


def test_a_burst_is_seen_at_once_and_forgotten_slowly() -> None:
    pace = Pace(20)
    pace.tick(0.0)
    pace.count(120, 0.0)
    pace.tick(0.1)
    assert pace.per_s == pytest.approx(1_000)
    pace.tick(0.2)
    assert 900 < pace.per_s < 1_000
    for n in range(3, 100):
        pace.tick(n / 10)
    assert pace.per_s < 10


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    pace = Pace(1)
    pace.count(5, 1.0)
    pace.tick(1.0)
    pace.count(5, 1.0)
    pace.tick(1.0)
    assert pace.per_s == 0


def test_a_round_that_ends_together_is_no_burst() -> None:
    pace = Pace(10)
    for n in range(20):
        pace.count(10 if n % 5 == 0 else 0, n / 10)
        pace.tick(n / 10)
    assert pace.per_s == 0


def test_a_burst_can_be_forgotten_at_once() -> None:
    pace = Pace(1)
    pace.tick(0.0)
    pace.count(100, 0.0)
    pace.tick(0.1)
    pace.forget()
    pace.tick(0.2)
    assert pace.per_s == 0


def test_a_leap_closes_its_interval_early() -> None:
    pace = Pace(10)
    pace.tick(0.0)
    assert not pace.count(60, 0.005)
    assert pace.per_s == 0
    assert pace.count(50, 0.02)
    assert pace.per_s == pytest.approx(5_000)
    assert not pace.count(100, 0.04)
    pace.tick(0.1)
    assert pace.per_s < 5_000


def test_a_round_that_ends_early_is_no_leap() -> None:
    pace = Pace(50)
    pace.tick(0.0)
    assert not pace.count(50, 0.05)
