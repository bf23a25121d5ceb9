"""Two samples of rates: what is found, how rarely by chance, and what so few values cannot say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from task_lab.stats_compare import (
    ALPHA,
    Compared,
    Finding,
    Least,
    Pair,
    _exact_p_with_ties,
    compare_samples,
    holm,
    least_p,
    needed_a_side,
    rank_p,
    smallest_seen,
)

rates = st.floats(min_value=0.5, max_value=1e6)
NOTHING_IS_SMALL = Least(share=0.0, units=0.0)


def compare(
    before: Sequence[float], after: Sequence[float], least: Least | None = None
) -> Compared:
    return compare_samples({"rate": Pair(before, after, "rounds")}, least)["rate"]


def noisy(
    rng: np.random.Generator, n: int, median: float = 1000.0, scatter: float = 0.08
) -> list[float]:
    return list(median * np.exp(rng.normal(0, scatter, n)))


@settings(deadline=None)
@given(st.lists(rates, min_size=1, max_size=9), st.lists(rates, min_size=1, max_size=9))
def test_the_answer_does_not_depend_on_which_side_comes_first(
    one: list[float], other: list[float]
) -> None:
    there, back = compare(one, other), compare(other, one)
    mirrored = {Finding.LOWER: Finding.HIGHER, Finding.HIGHER: Finding.LOWER}
    assert back.finding is mirrored.get(there.finding, there.finding)
    assert (back.p, back.n, back.medians) == (there.p, there.n[::-1], there.medians[::-1])
    assert back.seen_from == pytest.approx(there.seen_from)


@settings(deadline=None)
@given(st.lists(rates, min_size=1, max_size=12))
def test_identical_samples_never_differ(values: list[float]) -> None:
    found = compare(values, values[::-1], NOTHING_IS_SMALL)
    assert found.finding in {Finding.NONE, Finding.UNKNOWN}
    assert found.p is None or found.p > 0.9


@settings(deadline=None)
@given(st.lists(rates, min_size=3, max_size=3), st.lists(rates, min_size=3, max_size=3))
def test_e4_three_against_three_are_never_a_verdict(
    before: list[float], after: list[float]
) -> None:
    found = compare(before, after, NOTHING_IS_SMALL)
    assert found.finding is Finding.UNKNOWN
    assert found.reason == "not enough rounds: 3 against 3, need 4 a side (6 for an interval)"
    assert (found.p, found.seen_from) == (None, None)
    assert found.ratio is not None
    assert found.ratio.interval is None


def test_e4_a_loss_of_40_percent_is_unknown_with_three_and_found_with_four() -> None:
    before, after = [1000.0, 1010.0, 990.0, 1005.0], [600.0, 610.0, 590.0, 605.0]
    assert compare(before[:3], after[:3]).finding is Finding.UNKNOWN
    found = compare(before, after)
    assert found.finding is Finding.LOWER
    assert found.p == pytest.approx(2 / 70)
    assert found.ratio is not None
    assert found.ratio.interval is None
    six = compare([*before, 1001.0, 1002.0], [*after, 601.0, 602.0]).ratio
    assert six is not None
    assert six.interval is not None
    assert six.interval.low < 0.6 < six.interval.high < 0.65


def test_e4_more_rates_at_once_need_more_values() -> None:
    lost = Pair([1000.0, 1010.0, 990.0, 1005.0], [600.0, 610.0, 590.0, 605.0], "rounds")
    same = Pair([1000.0, 1010.0, 990.0, 1005.0], [1001.0, 1009.0, 991.0, 1004.0], "rounds")
    found = compare_samples({"lost": lost, "same": same})
    assert {one.finding for one in found.values()} == {Finding.UNKNOWN}
    assert found["lost"].reason == (
        "not enough rounds for 2 rates at once: 4 against 4, need 5 a side (6 for an interval)"
    )
    assert compare_samples({"lost": lost})["lost"].finding is Finding.LOWER


def test_pairs_that_cannot_be_tested_cost_the_others_nothing() -> None:
    lost = Pair([1000.0, 1010.0, 990.0, 1005.0], [600.0, 610.0, 590.0, 605.0])
    few = {f"drain {n}": Pair([1.0], [2.0]) for n in range(20)}
    assert compare_samples({**few, "lost": lost})["lost"].finding is Finding.LOWER


@pytest.mark.parametrize(("comparisons", "needed"), [(1, 4), (2, 5), (6, 5), (7, 6), (12, 6)])
def test_the_number_needed_is_the_first_that_can_be_significant(
    comparisons: int, needed: int
) -> None:
    assert needed_a_side(comparisons) == needed
    assert least_p(needed, needed) * comparisons <= ALPHA


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_the_least_p_is_that_of_complete_separation(n_before: int, n_after: int) -> None:
    assume(n_before + n_after > 2)
    before, after = range(n_before), range(100, 100 + n_after)
    assert rank_p(list(map(float, before)), list(map(float, after))) == pytest.approx(
        least_p(n_before, n_after)
    )


@settings(deadline=None)
@given(st.lists(rates, min_size=2, max_size=14, unique=True), st.integers(1, 13))
def test_counting_all_ways_agrees_with_scipy_where_no_values_are_the_same(
    values: list[float], cut: int
) -> None:
    assume(cut < len(values))
    exact = scipy_stats.mannwhitneyu(values[:cut], values[cut:], method="exact").pvalue
    assert _exact_p_with_ties(values[:cut], values[cut:]) == pytest.approx(exact)


def test_large_samples_are_tested_in_good_time_and_alike() -> None:
    rng = np.random.default_rng(5)
    before, after = noisy(rng, 49), noisy(rng, 49, 980)
    exact = rank_p(before, after)
    assert rank_p(before * 2, after * 2) < exact
    assert scipy_stats.mannwhitneyu(before, after, method="asymptotic").pvalue == pytest.approx(
        exact, abs=0.002
    )


def test_values_that_are_the_same_are_tested_exactly_too() -> None:
    # 10 of the 70 ways to deal four 1s and four 2s put three or four equal values on a side.
    assert rank_p([1, 1, 1, 2], [2, 2, 2, 1]) == pytest.approx(34 / 70)
    assert rank_p([1, 1, 1, 1], [2, 2, 2, 2]) == pytest.approx(2 / 70)
    assert rank_p([1] * 10, [1] * 10) == 1
    with pytest.raises(ValueError, match="empty"):
        rank_p([], [1.0])


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ([1000.0, 1000.1, 1000.2, 1000.3], [1000.4, 1000.5, 1000.6, 1000.7], Finding.SMALL),
        ([1000.0, 1001.0, 1002.0, 1003.0], [960.0, 961.0, 962.0, 963.0], Finding.SMALL),
        ([0.20, 0.21, 0.22, 0.23], [0.40, 0.41, 0.42, 0.43], Finding.SMALL),
        ([1000.0, 1001.0, 1002.0, 1003.0], [940.0, 941.0, 942.0, 943.0], Finding.LOWER),
        ([0.0, 0.0, 0.0, 0.0], [10.0, 11.0, 12.0, 13.0], Finding.HIGHER),
    ],
)
def test_e12_a_difference_matters_from_a_share_and_an_amount_on(
    before: list[float], after: list[float], finding: Finding
) -> None:
    found = compare(before, after)
    assert found.p_corrected is not None
    assert found.p_corrected <= ALPHA
    assert found.finding is finding


def test_e12_without_any_scatter_a_tenth_is_no_finding() -> None:
    assert compare([50.0] * 8, [50.1] * 8).finding is Finding.SMALL


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(), st.floats(min_value=1e-6, max_value=1), min_size=1, max_size=12)
)
def test_holm_never_lowers_a_p_and_keeps_their_order(ps: dict[int, float]) -> None:
    corrected = holm(ps)
    assert all(ps[key] <= corrected[key] <= 1 for key in ps)
    in_order = sorted(ps, key=lambda key: ps[key])
    assert sorted(corrected.values()) == [corrected[key] for key in in_order]
    assert corrected[in_order[0]] == pytest.approx(min(1.0, ps[in_order[0]] * len(ps)))
    # Nothing passes that a correction for all of them would have to hold back.
    assert (min(corrected.values()) <= ALPHA) == (min(ps.values()) * len(ps) <= ALPHA)


def test_holm_as_in_the_textbook() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


@pytest.mark.parametrize(("n", "rates_at_once"), [(4, 1), (5, 4), (10, 4), (10, 12)])
def test_e1_pairs_without_a_difference_raise_no_more_alarms_than_stated(
    n: int, rates_at_once: int
) -> None:
    rng = np.random.default_rng(n)
    sittings = 4000
    before, after = np.exp(rng.normal(0, 0.08, size=(2, sittings * rates_at_once, n)))
    ps = scipy_stats.mannwhitneyu(before, after, axis=1, method="exact").pvalue
    alarms = sum(
        min(holm(dict(enumerate(of_sitting))).values()) <= ALPHA
        for of_sitting in ps.reshape(sittings, rates_at_once)
    )
    # Three standard errors above the stated one in twenty.
    assert alarms / sittings <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / sittings)
    assert alarms > 0


def test_e1_a_difference_that_has_to_matter_raises_fewer_alarms_still() -> None:
    rng = np.random.default_rng(12)
    sittings = 80
    found = [
        compare_samples({rate: Pair(noisy(rng, 10), noisy(rng, 10)) for rate in range(2)})
        for _ in range(sittings)
    ]
    alarms = sum(
        any(one.finding in {Finding.LOWER, Finding.HIGHER} for one in of_sitting.values())
        for of_sitting in found
    )
    assert alarms / sittings <= ALPHA


@pytest.mark.parametrize(("n", "comparisons"), [(10, 1), (10, 4), (6, 1)])
def test_e3_a_loss_as_large_as_stated_is_seen_four_times_in_five(n: int, comparisons: int) -> None:
    rng = np.random.default_rng(n)
    alpha = ALPHA / comparisons
    loss = smallest_seen(noisy(rng, 200), noisy(rng, 200), ALPHA)
    assert loss is not None
    assert loss < 0.03
    many = [smallest_seen(noisy(rng, n), noisy(rng, n), alpha) for _ in range(100)]
    typical = float(np.median([one for one in many if one is not None]))
    tries = 400
    seen = sum(
        rank_p(noisy(rng, n), noisy(rng, n, 1000 * (1 - typical))) <= alpha for _ in range(tries)
    )
    assert seen / tries == pytest.approx(0.8, abs=0.08)


def test_e3_nothing_is_stated_where_nothing_can_be_seen() -> None:
    assert smallest_seen([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], ALPHA) is None
    assert smallest_seen([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], ALPHA) is None
    found = compare([100.0] * 6, [100.0] * 6)
    assert found.seen_from == pytest.approx(0.05 / 1.05)


def test_what_is_not_a_number_is_no_measurement() -> None:
    found = compare([math.nan, 1.0, 2.0, 3.0], [math.inf, 1.0, 2.0, 3.0, 4.0])
    assert found.n == (3, 4)
    nothing = compare([], [])
    assert (nothing.n, nothing.ratio, nothing.finding) == ((0, 0), None, Finding.UNKNOWN)


def test_ranks_and_medians_that_disagree_are_no_finding() -> None:
    before = [float(v) for v in [*range(1, 50), 1000, 1001, *range(1100, 1149)]]
    after = [v + 0.5 for v in before]
    shifted = compare(before, [*after[:49], 900.0, 901.0, *(v + 5000 for v in after[51:])])
    assert shifted.finding in {Finding.NONE, Finding.SMALL}
