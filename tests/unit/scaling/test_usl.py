import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_lab.scaling.law import Law
from task_lab.scaling.usl import Fit, Refused, fit_law

from .laws import exact, noisy

SIX = range(1, 7)
PLAIN = Law(100, 0.1, 0.01)

# Sysbench on a 32-core server, queries/s by threads, of B. Schwartz, "Practical Scalability
# Analysis with the Universal Scalability Law" (2015), which fits lambda = 995.6486,
# sigma = 0.02671591 and kappa = 0.0007690945 to it, with a peak at 35 threads.
PUBLISHED = [
    955.16,
    1878.91,
    2688.01,
    3548.68,
    4315.54,
    5130.43,
    5931.37,
    6531.08,
    7219.80,
    7867.61,
    8278.71,
    8646.70,
    9047.84,
    9426.55,
    9645.37,
    9897.24,
    10097.60,
    10240.50,
    10532.39,
    10798.52,
    11151.43,
    11518.63,
    11806.00,
    12089.37,
    12075.41,
    12177.29,
    12211.41,
    12158.93,
    12155.27,
    12118.04,
    12140.40,
    12074.39,
]


def fitted(measured: dict[int, list[float]], flagged: set[int] | None = None) -> Fit:
    found = fit_law(measured, flagged or set(), resamples=199)
    assert isinstance(found, Fit), found
    return found


def refused(measured: dict[int, list[float]], flagged: set[int] | None = None) -> Refused:
    found = fit_law(measured, flagged or set(), resamples=199)
    assert isinstance(found, Refused)
    return found


@given(
    st.floats(0.1, 1e5),
    st.floats(0, 1),
    st.floats(0, 0.3),
    st.integers(1, 3),
    st.integers(6, 12),
)
@settings(deadline=None, max_examples=60)
def test_exact_data_give_back_their_law(
    rate: float, sigma: float, kappa: float, first: int, number: int
) -> None:
    law = Law(rate, sigma, kappa)
    found = fitted(exact(law, range(first, first + number)))
    for n in range(1, 40):
        assert found.law.per_s(n) == pytest.approx(law.per_s(n), rel=1e-6)
    assert found.law.sigma == pytest.approx(sigma, abs=1e-6)
    assert found.law.kappa == pytest.approx(kappa, abs=1e-6)
    assert max(abs(r.relative) for r in found.residuals) < 1e-9


@given(st.floats(0, 0.9), st.floats(0.001, 0.1), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_noisy_data_give_a_law_near_their_own(sigma: float, kappa: float, seed: int) -> None:
    law = Law(500, sigma, kappa)
    found = fitted(noisy(law, range(1, 9), np.random.default_rng(seed), within=0.01))
    for n in range(1, 9):
        assert found.law.per_s(n) == pytest.approx(law.per_s(n), rel=0.03)
    assert 0 <= found.sigma.low <= found.sigma.high <= 1
    assert 0 <= found.kappa.low <= found.kappa.high


@pytest.mark.parametrize("between", [0.0, 0.015])
def test_the_intervals_hold_the_truth_about_as_often_as_they_say(between: float) -> None:
    rng = np.random.default_rng(11)
    hits = np.zeros(3)
    runs = 60
    for _ in range(runs):
        found = fitted(noisy(PLAIN, SIX, rng, between=between, within=0.015))
        for place, (estimate, truth) in enumerate(
            [(found.lambda_per_s, 100), (found.sigma, 0.1), (found.kappa, 0.01)]
        ):
            hits[place] += estimate.low <= truth <= estimate.high
    assert (hits / runs >= 0.85).all(), hits / runs


def test_a_scatter_between_counts_widens_the_intervals() -> None:
    quiet = fitted(noisy(PLAIN, SIX, np.random.default_rng(3), within=0.002))
    moody = fitted(noisy(PLAIN, SIX, np.random.default_rng(3), within=0.002, between=0.015))
    assert moody.lack_of_fit.between > 3 * quiet.lack_of_fit.between
    assert moody.sigma.high - moody.sigma.low > 3 * (quiet.sigma.high - quiet.sigma.low)


def test_a_published_fit_is_found_again() -> None:
    measured = {n: [x] * 2 for n, x in enumerate(PUBLISHED, start=1)}
    found = fitted(measured)
    assert found.law.lambda_per_s == pytest.approx(995.6486, rel=0.04)
    assert found.law.sigma == pytest.approx(0.0267, abs=0.007)
    assert found.law.kappa == pytest.approx(0.000769, abs=0.00014)
    assert found.peak.workers is None
    assert "beyond 32 workers, not measured" in found.peak.note
    by_count = {r.workers: r.fitted_per_s for r in found.residuals}
    assert by_count[20] == pytest.approx(
        995.6486 * 20 / (1 + 0.02671591 * 19 + 0.29225591), rel=0.02
    )


def test_the_same_data_have_the_same_figures() -> None:
    measured = noisy(PLAIN, SIX, np.random.default_rng(2))
    one, other = fitted(measured), fitted(dict(reversed(measured.items())))
    assert (one.law, one.sigma, one.peak) == (other.law, other.sigma, other.peak)
    assert (one.draws == other.draws).all()


@given(st.floats(0.01, 100))
@settings(deadline=None, max_examples=10)
def test_another_unit_of_throughput_changes_lambda_alone(unit: float) -> None:
    measured = noisy(PLAIN, SIX, np.random.default_rng(2))
    one = fitted(measured)
    other = fitted({n: [x * unit for x in xs] for n, xs in measured.items()})
    assert other.law.lambda_per_s == pytest.approx(one.law.lambda_per_s * unit)
    assert other.law.sigma == pytest.approx(one.law.sigma)
    assert other.kappa.high == pytest.approx(one.kappa.high)


def test_noise_that_hides_a_coefficient_leaves_it_not_told_apart_from_0() -> None:
    linear = fitted(noisy(Law(500, 0, 0), SIX, np.random.default_rng(4)))
    assert not linear.sigma.differs_from_0
    assert not linear.kappa.differs_from_0
    bent = fitted(noisy(Law(500, 0.3, 0.05), SIX, np.random.default_rng(4)))
    assert bent.sigma.differs_from_0
    assert bent.kappa.differs_from_0


def test_a_peak_among_the_counts_has_a_place_and_a_height() -> None:
    law = Law(100, 0.1, 0.1)
    peak = fitted(noisy(law, SIX, np.random.default_rng(6), within=0.005)).peak
    assert peak.workers == pytest.approx(3, rel=0.05)
    assert peak.per_s == pytest.approx(law.per_s(3), rel=0.02)
    assert peak.low is not None and peak.high is not None
    assert peak.low <= 3 <= peak.high
    assert peak.per_s_low is not None and peak.per_s_high is not None
    assert peak.per_s_low <= law.per_s(3) <= peak.per_s_high


def test_a_peak_beyond_the_counts_is_named_and_has_no_number() -> None:
    peak = fitted(noisy(Law(100, 0.05, 0.004), SIX, np.random.default_rng(6))).peak
    assert (peak.workers, peak.high, peak.per_s) == (None, None, None)
    assert peak.note.startswith("beyond 6 workers, not measured")


def test_where_every_worker_still_adds_the_peak_is_beyond_the_counts() -> None:
    found = fitted(exact(Law(100, 0.2, 0), SIX))
    assert found.law.peak == math.inf
    assert found.kappa.value == 0
    assert found.peak.note == "beyond 6 workers, not measured"


def test_where_workers_only_cost_the_peak_is_at_the_fewest() -> None:
    peak = fitted(noisy(Law(100, 0.9, 0.3), SIX, np.random.default_rng(6))).peak
    assert peak.workers is None
    assert peak.note.startswith("at or below 1")


def test_the_band_holds_the_law_and_is_narrow_where_there_are_data() -> None:
    found = fitted(noisy(PLAIN, SIX, np.random.default_rng(8)))
    low, high = found.band([1, 6, 12])
    for n, below, above in zip((1, 6, 12), low, high, strict=True):
        assert below <= found.law.per_s(n) <= above
    assert (high - low)[2] > 3 * (high - low)[0]


def test_e16_one_and_three_workers_carry_no_fit() -> None:
    found = refused({1: [100.0] * 6, 3: [250.0] * 6})
    assert found.reason == "2 usable worker counts (1, 3), 6 needed for a fit"


def test_e16_from_six_counts_on_there_is_a_fit_with_bounds() -> None:
    measured = noisy(PLAIN, SIX, np.random.default_rng(9))
    assert "5 usable worker counts" in refused({n: measured[n] for n in range(1, 6)}).reason
    found = fitted(measured)
    for estimate in (found.lambda_per_s, found.sigma, found.kappa):
        assert math.isfinite(estimate.low)
        assert math.isfinite(estimate.high)
        assert estimate.low <= estimate.value <= estimate.high


def test_e16_no_data_at_all_is_refused_too() -> None:
    assert refused({}).reason == "0 usable worker counts, 6 needed for a fit"


def test_counts_measured_once_are_left_out() -> None:
    measured = exact(PLAIN, SIX) | {6: [400.0]}
    found = refused(measured)
    assert found.left_out == {6: "measurements: 1, 2 needed"}
    assert "5 usable worker counts (1, 2, 3, 4, 5)" in found.reason
    assert fitted(measured | {7: [PLAIN.per_s(7)] * 2}).left_out == found.left_out


def test_flagged_counts_are_left_out_until_too_few_stay() -> None:
    measured = exact(PLAIN, range(1, 8))
    found = fitted(measured | {2: [1.0, 1.0]}, flagged={2})
    assert found.counts == (1, 3, 4, 5, 6, 7)
    assert found.left_out == {2: "one worker did most of the work"}
    assert found.law.per_s(2) == pytest.approx(PLAIN.per_s(2))
    too_few = refused(measured, flagged={2, 5})
    assert "5 usable worker counts" in too_few.reason
    assert "5 left out (one worker did most of the work)" in too_few.reason


def test_few_repeats_are_said_to_be_few() -> None:
    assert fitted(exact(PLAIN, SIX, repeats=6)).notes == ()
    (note,) = fitted(exact(PLAIN, SIX, repeats=3)).notes
    assert "3 times only" in note


def test_data_that_no_law_comes_near_are_refused_with_the_miss() -> None:
    cliff = {n: [100.0 * min(n, 2)] * 6 for n in SIX}
    found = refused(cliff)
    assert found.reason == "the law misses 2 workers by 11.3%; the limit is 10%"
    assert {r.workers: round(r.relative, 2) for r in found.residuals}[2] == 0.11


def test_a_smaller_miss_is_refused_where_the_repeats_leave_no_room_for_it() -> None:
    rng = np.random.default_rng(5)
    shape = {1: 100, 2: 185, 3: 190, 4: 190, 5: 188, 6: 185}
    tight = {n: list(x * np.exp(0.01 * rng.standard_normal(6))) for n, x in shape.items()}
    loose = {n: list(x * np.exp(0.15 * rng.standard_normal(6))) for n, x in shape.items()}
    found = refused(tight)
    assert "which the spread of the repeats does not explain" in found.reason
    assert found.lack_of_fit is not None
    assert found.lack_of_fit.p < 0.01
    restless = fitted(loose)
    assert restless.lack_of_fit.p > 0.01
    assert restless.lack_of_fit.within == pytest.approx(0.15, rel=0.3)
    assert any("repeats of one count scatter by" in note for note in restless.notes)


def waves(height: float, within: float) -> dict[int, list[float]]:
    """A law's throughputs with a wave along the counts, and repeats that far apart."""
    steps = (1 - within, 1.0, 1 + within)
    return {
        n: [PLAIN.per_s(n) * (1 + height * math.sin(n / 2)) * step for step in steps]
        for n in range(1, 25)
    }


def test_misses_in_a_pattern_are_refused_where_they_are_not_small() -> None:
    found = refused(waves(0.07, within=0.2))
    assert "and its misses have a pattern along the worker counts" in found.reason
    assert found.lack_of_fit is not None
    assert found.lack_of_fit.p > 0.01


def test_small_misses_in_a_pattern_are_named() -> None:
    assert any("have a pattern" in note for note in fitted(waves(0.02, within=0.002)).notes)


def test_a_refusal_says_whether_the_repeats_were_restless() -> None:
    rng = np.random.default_rng(7)
    cliff = {n: list(100 * min(n, 2) * np.exp(0.2 * rng.standard_normal(6))) for n in range(1, 15)}
    assert "scatter by" in refused(cliff).reason


@pytest.mark.parametrize(
    "measured", [{0: [1.0, 1.0]}, {1: [0.0, 1.0]}, {1: [math.nan]}, {2: [math.inf]}, {1: [-3.0]}]
)
def test_what_is_no_throughput_is_refused_loudly(measured: dict[int, list[float]]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        fit_law(measured)


def test_wild_data_end_in_figures_or_a_refusal_and_never_in_a_crash() -> None:
    rng = np.random.default_rng(13)
    for _ in range(30):
        measured = {n: list(10 ** rng.uniform(-3, 3, 3)) for n in range(2, 9)}
        found = fit_law(measured, resamples=49)
        if isinstance(found, Fit):
            assert np.isfinite(found.draws).all()
    falling = {n: [1000.0 / (n - 1), 1010.0 / (n - 1)] for n in range(2, 9)}
    found = fit_law(falling, resamples=49)
    if isinstance(found, Fit):
        assert found.law.per_s(5) == pytest.approx(250, rel=0.05)
