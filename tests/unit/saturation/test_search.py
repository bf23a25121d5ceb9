"""The search for the highest sustainable rate: where it goes, when it ends, what it forgives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.saturation.search import Bounds, Probe, bounds_of, next_rate, step_s
from task_lab.spec.search import MOST_PROBES


def search(
    capacity: float, *, start: float, most: float = 1e9, precision: float = 0.03
) -> list[Probe]:
    probes: list[Probe] = []
    while True:
        rate = next_rate(probes, start_per_s=start, most_per_s=most, precision=precision)
        if rate is None:
            return probes
        probes.append(Probe(rate, rate <= capacity))


@given(st.floats(10, 5_000), st.floats(10, 5_000), st.floats(0.01, 0.2))
def test_it_ends_within_its_precision_below_the_capacity(
    capacity: float, start: float, precision: float
) -> None:
    probes = search(capacity, start=start, precision=precision)
    low = bounds_of(probes).low
    assert low is not None
    assert low <= capacity <= low * (1 + precision) * (1 + 1e-6)
    assert len(probes) <= MOST_PROBES


@given(st.floats(10, 1_000))
def test_it_never_offers_more_than_the_generator_can_vouch_for(most: float) -> None:
    probes = search(1e9, start=400, most=most)
    assert max(probe.per_s for probe in probes) == most
    assert bounds_of(probes) == Bounds(low=most, high=None)


def test_a_rate_below_the_first_is_found_too() -> None:
    low = bounds_of(search(100, start=400)).low
    assert low == pytest.approx(100, rel=0.03)


def test_a_failure_below_a_later_success_was_bad_luck() -> None:
    probes = [Probe(100, False), Probe(120, True)]
    assert bounds_of(probes) == Bounds(low=120, high=None)


def test_a_success_above_a_later_failure_is_taken_back() -> None:
    probes = [Probe(100, True), Probe(90, False)]
    assert bounds_of(probes) == Bounds(low=None, high=90)


def test_a_search_on_a_noisy_platform_ends() -> None:
    rng = random.Random(3)
    probes: list[Probe] = []
    while (
        rate := next_rate(probes, start_per_s=400, most_per_s=2_000, precision=0.03)
    ) is not None and len(probes) < MOST_PROBES:
        probes.append(Probe(rate, rate <= 480 * rng.uniform(0.95, 1.05)))
    low = bounds_of(probes).low
    assert low is not None
    assert 430 < low < 520


@pytest.mark.parametrize(
    ("per_s", "seconds"), [(1_000, 12), (100, 12), (50, 22.222), (10, 24), (1, 24)]
)
def test_a_slow_step_lasts_until_it_has_its_tasks_within_limits(
    per_s: float, seconds: float
) -> None:
    assert step_s(per_s, least_s=12, most_s=24, tasks=1_000 / 0.9) == pytest.approx(
        seconds, abs=0.01
    )
