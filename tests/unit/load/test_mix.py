"""Mixes: each part gets its share exactly, in an order that the seed decides."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from task_lab.load.mix import draw_mix, quotas

KNOWN = [0, 2, 0, 0, 1, 0, 1, 0, 0, 2, 2, 1]
SHARES = st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda shares: sum(shares) > 0.1)


@given(SHARES, st.integers(0, 3_000))
def test_quotas_sum_to_all_and_are_off_by_less_than_one_task(
    shares: list[float], tasks: int
) -> None:
    counts = quotas(shares, tasks)
    assert sum(counts) == tasks
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - tasks * share / sum(shares)) < 1


@given(SHARES, st.integers(0, 300), st.text(max_size=5))
def test_one_seed_gives_one_order_with_every_quota(
    shares: list[float], tasks: int, seed: str
) -> None:
    drawn = draw_mix(shares, tasks, seed)
    assert drawn == draw_mix(shares, tasks, seed)
    counts = quotas(shares, tasks)
    assert Counter(drawn) == Counter({part: n for part, n in enumerate(counts) if n})


def test_a_mix_of_80_15_5_is_one_and_is_mixed() -> None:
    drawn = draw_mix([80, 15, 5], 2_000, "1/load")
    assert Counter(drawn) == {0: 1_600, 1: 300, 2: 100}
    assert drawn != sorted(drawn)
    assert drawn != draw_mix([80, 15, 5], 2_000, "2/load")


def test_a_seed_means_the_same_for_ever() -> None:
    assert draw_mix([2, 1, 1], 12, "1/load") == KNOWN
