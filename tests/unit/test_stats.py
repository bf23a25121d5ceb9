import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab import stats

finite = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(finite, min_size=1, max_size=200), st.integers(1, 1000))
def test_a_percentile_is_the_smallest_value_with_its_share_below(
    values: list[float], per_mille: int
) -> None:
    q = per_mille / 1000
    found = stats.percentile(values, q)
    assert found in values
    needed = -(-len(values) * per_mille // 1000)
    assert sum(v <= found for v in values) >= needed
    assert sum(v < found for v in values) < needed


@pytest.mark.parametrize("q", [0, -0.1, 1.01])
def test_a_percentile_outside_its_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        stats.percentile([1.0], q)


def test_nothing_has_no_percentile_and_nan_is_not_a_value() -> None:
    assert math.isnan(stats.percentile([], 0.5))
    assert stats.percentile([math.nan, 3.0], 0.99) == 3.0


@pytest.mark.parametrize(
    ("q", "count", "span_s", "reason"),
    [
        (0.99, 999, 60, "too short for p99: 999 tasks, 1000 needed"),
        (0.99, 1000, 60, None),
        (0.99, 2000, 6, "too short for p99: 6.0 s measured, 10 s needed"),
        (0.95, 199, 60, "too short for p95: 199 tasks, 200 needed"),
        (0.95, 200, 10, None),
        (0.5, 19, 60, "too short for p50: 19 tasks, 20 needed"),
        (0.5, 2000, 0.9, "too short for p50: 0.9 s measured, 1 s needed"),
        (0.5, 2000, 6, None),
        (0.999, 9_999, 60, "too short for p99.9: 9999 tasks, 10000 needed"),
    ],
)
def test_d11_a_short_run_says_which_percentiles_it_cannot_carry(
    q: float, count: int, span_s: float, reason: str | None
) -> None:
    assert stats.too_short_for(q, count=count, span_s=span_s) == reason


@pytest.mark.parametrize("count", range(6))
def test_e4_fewer_than_six_values_carry_no_interval(count: int) -> None:
    assert stats.median_interval([float(i) for i in range(count)]) is None


def test_six_values_carry_their_whole_range_as_interval() -> None:
    interval = stats.median_interval([5.0, 1.0, 3.0, 2.0, 6.0, 4.0])
    assert interval is not None
    assert (interval.low, interval.high) == (1.0, 6.0)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        interval = stats.median_interval(rng.lognormal(0, 0.3, 10))
        assert interval is not None
        hits += interval.low <= 1.0 <= interval.high
    assert hits / 400 >= 0.93


@pytest.mark.parametrize(("above", "below"), [(3, 3), (1, 1), (5, 20)])
def test_e4_a_ratio_of_few_measurements_has_a_reason_and_no_interval(
    above: int, below: int
) -> None:
    ratio = stats.ratio_of_medians([200.0] * above, [100.0] * below)
    assert ratio is not None
    assert ratio.value == 2.0
    assert ratio.interval is None
    assert ratio.reason == f"{min(above, below)} a side, 6 needed for an interval"


def test_a_ratio_of_ten_rounds_a_side_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(150):
        ratio = stats.ratio_of_medians(
            list(rng.lognormal(np.log(3), 0.1, 10)), list(rng.lognormal(0, 0.1, 10))
        )
        assert ratio is not None
        assert ratio.interval is not None
        hits += ratio.interval.low <= 3.0 <= ratio.interval.high
    assert hits / 150 >= 0.9


def test_a_ratio_to_nothing_is_none() -> None:
    assert stats.ratio_of_medians([1.0], []) is None
    assert stats.ratio_of_medians([1.0], [0.0]) is None


def test_percentile_intervals_are_as_wide_as_the_rounds_differ() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(8), 500)
    alike = rng.normal(10, 1, groups.size)
    apart = alike + groups * 2.0
    (narrow,) = stats.percentile_intervals(alike, groups, [0.5]) or []
    (wide,) = stats.percentile_intervals(apart, groups, [0.5]) or []
    assert narrow.low < 10.05
    assert narrow.high > 9.95
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_percentile_intervals_need_six_rounds_however_many_tasks() -> None:
    groups = np.repeat(np.arange(5), 10_000)
    assert stats.percentile_intervals(np.ones(groups.size), groups, [0.5]) is None


def test_the_same_data_has_the_same_interval_every_time() -> None:
    values = np.random.default_rng(1).exponential(1, 600)
    groups = np.repeat(np.arange(6), 100)
    assert stats.percentile_intervals(values, groups, [0.5, 0.99]) == stats.percentile_intervals(
        values, groups, [0.5, 0.99]
    )


def test_b7_a_bucket_estimate_names_its_bounds_and_nothing_between() -> None:
    bounds, cumulative = [0.1, 1.0, 10.0, math.inf], [0.0, 0.0, 100.0, 100.0]
    assert stats.bucket_percentile(bounds, cumulative, 0.5) == (1.0, 10.0)
    assert stats.bucket_percentile(bounds, cumulative, 0.99) == (1.0, 10.0)
    assert stats.percentile([1.2] * 100, 0.99) == 1.2


@pytest.mark.parametrize(
    ("cumulative", "held"),
    [([5.0, 10.0, 10.0], (0.0, 0.1)), ([0.0, 0.0, 4.0], (1.0, math.inf)), ([0.0] * 3, None)],
)
def test_the_outer_buckets_have_bounds_too(
    cumulative: list[float], held: tuple[float, float] | None
) -> None:
    assert stats.bucket_percentile([0.1, 1.0, math.inf], cumulative, 0.5) == held
