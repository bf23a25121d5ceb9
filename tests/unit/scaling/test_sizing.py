import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_lab.scaling.law import Law
from task_lab.scaling.sizing import Answer, Ask, log_erlang_c, wait_quantile, workers_needed
from task_lab.scaling.usl import Fit, fit_law

from .laws import exact, noisy

SIX = range(1, 7)


def erlang_c(servers: int, load: float) -> float:
    return math.exp(log_erlang_c(np.array([servers]), np.array([load])).item())


def fit_of(measured: dict[int, list[float]]) -> Fit:
    found = fit_law(measured, resamples=199)
    assert isinstance(found, Fit), found
    return found


def needed(law: Law, per_s: float, wait_s: float, slots: int = 10) -> Answer:
    return workers_needed(Ask(per_s, wait_s), fit_of(exact(law, SIX)), slots)


def by_recursion(servers: int, load: float) -> float:
    """The textbook's way: B(0) = 1, B(m) = a B(m-1) / (m + a B(m-1))."""
    blocked = 1.0
    for m in range(1, servers + 1):
        blocked = load * blocked / (m + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


@pytest.mark.parametrize(
    ("servers", "load", "share"),
    [
        (1, 0.7, 0.7),
        (2, 1.0, 1 / 3),
        (3, 2.0, 4 / 9),
        (5, 4.0, 0.5541),
        (10, 8.0, 0.4092),
        (8, 6.0, 0.3570),
    ],
)
def test_erlang_c_has_the_values_of_the_tables(servers: int, load: float, share: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(share, abs=5e-5)


@given(st.integers(1, 400), st.floats(0.01, 0.999))
@settings(deadline=None)
def test_erlang_c_agrees_with_its_recursion(servers: int, busy: float) -> None:
    assert erlang_c(servers, servers * busy) == pytest.approx(
        by_recursion(servers, servers * busy), rel=1e-8, abs=1e-300
    )


@pytest.mark.parametrize("servers", [1_000, 5_000, 50_000])
def test_thousands_of_servers_have_shares_too_small_for_a_float(servers: int) -> None:
    logs = log_erlang_c(np.full(4, servers), servers * np.array([0.1, 0.5, 0.9, 0.999]))
    assert np.isfinite(logs).all()
    assert (np.diff(logs) > 0).all()
    assert logs[0] < math.log(1e-300)
    assert -5 < logs[-1] < 0


@given(st.integers(1, 2_000), st.floats(1.0, 3.0))
def test_at_or_beyond_the_capacity_everything_waits_for_ever(servers: int, busy: float) -> None:
    assert erlang_c(servers, servers * busy) == 1.0
    assert wait_quantile(np.array([servers]), 100.0 * busy, np.array([100.0]), 0.95) == math.inf


def waits_of(servers: int, per_s: float, service_s: float, rng: np.random.Generator) -> np.ndarray:
    """Waits of a simulated M/M/m queue, first come first served, its start left out."""
    count = 60_000
    arrivals = np.cumsum(rng.exponential(1 / per_s, count))
    services = rng.exponential(service_s, count)
    free = [0.0] * servers
    waits = np.empty(count)
    for i, (at, took) in enumerate(zip(arrivals, services, strict=True)):
        start = max(at, free[0])
        heapq.heapreplace(free, start + took)
        waits[i] = start - at
    return waits[5_000:]


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.6), (10, 0.8), (30, 0.88)])
def test_a_simulated_queue_waits_as_long_as_computed(servers: int, busy: float) -> None:
    service_s = 0.02
    capacity = servers / service_s
    found = waits_of(servers, capacity * busy, service_s, np.random.default_rng(servers))
    assert (found > 0).mean() == pytest.approx(erlang_c(servers, servers * busy), abs=0.05)
    for quantile in (0.95, 0.99):
        computed = wait_quantile(
            np.array([servers]), capacity * busy, np.array([capacity]), quantile
        ).item()
        assert np.quantile(found, quantile) == pytest.approx(computed, rel=0.2)


def test_the_answer_is_the_fewest_workers_that_keep_the_wait() -> None:
    law = Law(500, 0.02, 0.001)
    answer = needed(law, per_s=1_200, wait_s=0.05)
    assert answer.workers == 3
    assert answer.capacity_per_s == pytest.approx(law.per_s(3))
    assert answer.busy == pytest.approx(1_200 / law.per_s(3))
    assert answer.wait_s is not None and answer.wait_s <= 0.05
    assert answer.reason is None
    assert (answer.low, answer.high) == (3, 3)


def test_a_shorter_wait_or_more_load_never_needs_fewer_workers() -> None:
    law = Law(100, 0.05, 0.002)
    by_load = [needed(law, x, 0.1, slots=1).workers or 99 for x in range(20, 600, 20)]
    by_wait = [needed(law, 250, y, slots=1).workers or 99 for y in (1, 0.1, 0.03, 0.01, 0.001)]
    assert by_load == sorted(by_load)
    assert by_wait == sorted(by_wait)
    assert by_load[0] == 1
    assert by_load[-1] == 99


def test_the_interval_of_the_answer_is_that_of_the_law() -> None:
    fit = fit_of(noisy(Law(100, 0.05, 0.002), SIX, np.random.default_rng(1), between=0.03))
    at_a_step = workers_needed(Ask(fit.law.per_s(3) * 0.985, 1.0), fit, slots=10)
    assert at_a_step.workers is not None
    assert at_a_step.low is not None and at_a_step.high is not None
    assert at_a_step.low < at_a_step.high
    assert at_a_step.low <= at_a_step.workers <= at_a_step.high


def test_an_interval_that_leaves_the_measured_counts_is_open() -> None:
    law = Law(100, 0.05, 0.002)
    fit = fit_of(noisy(law, SIX, np.random.default_rng(1), between=0.03))
    answer = workers_needed(Ask(fit.law.per_s(6) * 0.98, 1.0), fit, slots=10)
    assert (answer.workers, answer.high) == (6, None)


def test_more_than_the_measured_workers_do_has_no_answer() -> None:
    answer = needed(Law(100, 0, 0), per_s=700, wait_s=1)
    assert answer.workers is None
    assert answer.reason == (
        "more than 6 workers do (600 tasks/s with 6 workers), and more were not measured"
    )


def test_more_than_the_peak_has_no_answer_however_many_workers() -> None:
    answer = needed(Law(100, 0.1, 0.1), per_s=250, wait_s=1)
    assert answer.workers is None
    assert answer.reason is not None
    assert answer.reason.startswith("more than any number of workers does: the law's peak is")


def test_a_wait_that_cannot_be_reached_has_no_answer() -> None:
    peaked = Law(100, 0.1, 0.1)
    answer = needed(peaked, per_s=peaked.per_s(3) * 0.95, wait_s=0.001, slots=1)
    assert answer.workers is None
    assert answer.reason is not None
    assert answer.reason.startswith("no number of workers brings the p95 wait below 0.001 s")
    rising = needed(Law(100, 0.1, 0), per_s=380, wait_s=0.001, slots=1)
    assert rising.reason is not None
    assert rising.reason.startswith("up to 6 workers the p95 wait is")
    assert rising.reason.endswith("and more were not measured")


def test_without_a_law_there_is_no_answer_but_its_reason() -> None:
    answer = workers_needed(Ask(10, 1), fit_law({1: [10.0] * 6}), slots=10)
    assert answer.workers is None
    assert answer.reason == "no law was fitted: 1 usable worker counts (1), 6 needed for a fit"


@pytest.mark.parametrize(("per_s", "wait_s", "quantile"), [(0, 1, 0.95), (1, -1, 0.95), (1, 1, 1)])
def test_what_is_no_load_is_refused(per_s: float, wait_s: float, quantile: float) -> None:
    with pytest.raises(ValueError, match="no load"):
        Ask(per_s, wait_s, quantile)
