"""Leases are ended only by somebody who would have seen their owner renew them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from task_platform.domain.leases import Watch

from ...factories import NOON

LEASE_S = 10.0


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def watch(*looks_s: float) -> Watch:
    """The watch of somebody who saw the database at these seconds."""
    watch = Watch(LEASE_S)
    for seconds in looks_s:
        watch = watch.seen(at(seconds))
    return watch


def test_whoever_has_just_begun_ends_nothing() -> None:
    assert Watch(LEASE_S).ends_until is None
    assert watch(0).ends_until is None
    assert watch(0, 4, 8, 9.9).ends_until is None


def test_after_the_time_of_a_lease_leases_are_ended_until_shortly_after_the_look() -> None:
    assert watch(0, 4, 8, 10).ends_until == at(15)
    assert watch(0, 5, 10, 15, 20).ends_until == at(25)


@pytest.mark.parametrize("gap_s", [5.1, 10, 3_600])
def test_after_a_gap_every_owner_has_the_time_of_a_lease_again(gap_s: float) -> None:
    back = 12 + gap_s
    looks = (0, 4, 8, 12)
    assert watch(*looks).ends_until is not None
    assert watch(*looks, back).ends_until is None
    assert watch(*looks, back, back + 5, back + 9.9).ends_until is None
    assert watch(*looks, back, back + 5, back + 10).ends_until == at(back + 15)


def test_a_clock_that_stands_still_ends_nothing() -> None:
    assert watch(0, 0, 0).ends_until is None
