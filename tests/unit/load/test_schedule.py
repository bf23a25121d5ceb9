"""Open-loop schedules: decided in advance, the same every time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.load.schedule import constant_schedule, poisson_schedule


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
