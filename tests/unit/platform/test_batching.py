"""How batches are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.batching import (
    BatchLimits,
    Spacing,
    halves,
    has_company,
    members_to_flush,
    pause_after,
)

SIZES = st.lists(st.integers(min_value=0, max_value=100), max_size=60)
LIMITS = st.builds(
    BatchLimits,
    max_count=st.integers(min_value=1, max_value=20),
    max_bytes=st.integers(min_value=1, max_value=300),
    company=st.integers(min_value=1, max_value=30),
)


@given(SIZES, LIMITS)
def test_a_batch_obeys_its_limits_and_is_as_large_as_they_allow(
    sizes: list[int], limits: BatchLimits
) -> None:
    count = members_to_flush(sizes, limits)
    assert count <= min(len(sizes), limits.max_count)
    if count > 1:
        assert sum(sizes[:count]) <= limits.max_bytes
    if count < min(len(sizes), limits.max_count):
        assert sum(sizes[: count + 1]) > limits.max_bytes


@given(SIZES.filter(bool), LIMITS)
def test_something_always_goes(sizes: list[int], limits: BatchLimits) -> None:
    assert members_to_flush(sizes, limits) >= 1


def test_a_member_larger_than_a_batch_goes_alone() -> None:
    limits = BatchLimits(max_bytes=10)
    assert members_to_flush([50, 1, 1], limits) == 1
    assert members_to_flush([1, 50, 1], limits) == 1


@given(st.lists(st.integers(), min_size=2))
def test_halves_are_both_smaller_and_make_the_whole(members: list[int]) -> None:
    left, right = halves(len(members))
    assert members[left] + members[right] == members
    assert members[left]
    assert members[right]


@pytest.mark.parametrize(
    ("per_s", "members"), [(2_250, 18.0), (1_500, 12.0), (900, 0.0), (100, 0.0)], ids=str
)
def test_pauses_grow_up_to_their_longest_or_shrink_to_nothing(per_s: int, members: float) -> None:
    limits = BatchLimits(apart_s=0.008, apart_per_member_s=0.001)
    arrived = 5.0 if members else 30.0
    for _ in range(100):
        arrived = per_s * pause_after(int(arrived), limits)
    assert arrived == pytest.approx(members)


def test_what_is_left_of_a_pause_shrinks_and_one_alone_begins_none() -> None:
    spacing = Spacing(BatchLimits(apart_s=4.0, apart_per_member_s=1.0))
    assert spacing.pause_s(0.0) == 0
    spacing.note(3, 10.0)
    assert [spacing.pause_s(now) for now in (10.0, 12.5, 13.0, 99.0)] == [3.0, 0.5, 0.0, 0.0]
    spacing.note(250, 20.0)
    spacing.note(1, 21.0)
    assert spacing.pause_s(21.0) == 3.0


@given(st.integers(min_value=0, max_value=40), st.integers(min_value=0, max_value=400), LIMITS)
def test_company_is_what_fills_a_batch_or_was_said_to_be_enough(
    members: int, size: int, limits: BatchLimits
) -> None:
    is_full = members >= limits.max_count or size >= limits.max_bytes
    assert has_company(members, size, limits) == (is_full or members >= limits.company)
