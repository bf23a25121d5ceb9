"""Open-loop schedules: decided in advance, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.errors import UsageError
from task_lab.load.schedule import (
    burst_schedule,
    constant_schedule,
    poisson_schedule,
    ramp_schedule,
    read_trace,
    trace_schedule,
)
from task_lab.spec.arrivals import read_arrivals


def test_a_constant_rate_is_evenly_spaced() -> None:
    assert constant_schedule(4, per_s=2) == [0.0, 0.5, 1.0, 1.5]


@given(st.integers(0, 500), st.floats(0.1, 10_000), st.integers())
def test_arrivals_only_move_forward_and_one_seed_gives_one_schedule(
    tasks: int, per_s: float, seed: int
) -> None:
    schedule = poisson_schedule(tasks, per_s, seed)
    assert len(schedule) == tasks
    assert schedule == sorted(schedule)
    assert schedule == poisson_schedule(tasks, per_s, seed)


def test_independent_arrivals_have_the_mean_rate() -> None:
    assert poisson_schedule(100_000, per_s=50, seed=1)[-1] == pytest.approx(2_000, rel=0.02)


def test_another_seed_gives_other_arrivals() -> None:
    assert poisson_schedule(10, 1, seed=1) != poisson_schedule(10, 1, seed=2)


@given(st.integers(1, 500), st.floats(0.1, 10_000), st.integers(1, 50))
def test_bursts_arrive_together_at_the_mean_rate(tasks: int, per_s: float, burst: int) -> None:
    schedule = burst_schedule(tasks, per_s, burst)
    assert schedule == sorted(schedule)
    assert len(set(schedule)) == -(-tasks // burst)
    assert schedule[-1] == pytest.approx((tasks - 1) // burst * burst / per_s)


@given(st.integers(1, 500), st.floats(0.5, 1_000), st.floats(0.5, 1_000))
def test_a_ramp_goes_from_one_rate_to_the_other(tasks: int, start: float, end: float) -> None:
    schedule = ramp_schedule(tasks, start, end)
    assert schedule == sorted(schedule)
    assert schedule[0] == 0
    assert schedule[-1] <= tasks / ((start + end) / 2) * (1 + 1e-9)


def test_the_gaps_of_a_ramp_are_those_of_its_two_rates() -> None:
    schedule = ramp_schedule(10_000, 10, 100)
    assert schedule[1] - schedule[0] == pytest.approx(1 / 10, rel=0.01)
    assert schedule[-1] - schedule[-2] == pytest.approx(1 / 100, rel=0.01)


def test_a_trace_is_replayed_from_its_first_arrival_and_over_again() -> None:
    assert trace_schedule(5, [100.0, 101.0, 104.0]) == [0.0, 1.0, 4.0, 6.0, 7.0]


def test_a_trace_is_read_from_a_column_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("client,at_s\na,2.5\nb,1\n")
    assert read_trace(tmp_path / "trace.csv") == [1.0, 2.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("when\n1\n", "column at_s"),
        ("at_s\n1\nsoon\n", "line 3: 'soon'"),
        ("at_s\nnan\n", "line 2: 'nan'"),
        ("at_s\n", "one arrival"),
        ("", "column at_s"),
    ],
)
def test_a_trace_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "trace.csv").write_text(text)
    with pytest.raises(UsageError, match=told):
        read_trace(tmp_path / "trace.csv")


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["constant", "poisson", "burst:50", "ramp:5-40", "trace:a.csv"])
def test_arrivals_are_read_as_they_are_told(text: str) -> None:
    assert read_arrivals(text).text == text


@pytest.mark.parametrize(
    "text", ["poison", "burst", "burst:0", "burst:x", "ramp:5", "ramp:0-4", "trace:", "constant:3"]
)
def test_arrivals_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_arrivals(text)
