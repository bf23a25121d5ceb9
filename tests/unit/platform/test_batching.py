"""How batches are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.batching import BatchLimits, halves, members_to_flush

SIZES = st.lists(st.integers(min_value=0, max_value=100), max_size=60)
LIMITS = st.builds(
    BatchLimits,
    max_count=st.integers(min_value=1, max_value=20),
    max_bytes=st.integers(min_value=1, max_value=300),
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
