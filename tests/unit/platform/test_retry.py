"""When a failed attempt is tried again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.retry import (
    MAX_DELAY_S,
    RetryPolicy,
    backoff_s,
    delay_asked_for,
    has_attempts_left,
    within_policy_s,
)

SCALES = st.floats(min_value=1e-6, max_value=3_600)
POLICIES = st.builds(
    lambda base, factor: RetryPolicy(base, base * factor),
    SCALES,
    st.floats(min_value=1, max_value=8_000),
)
UNIFORMS = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(("attempt", "whole_s"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300)])
def test_the_delay_doubles_up_to_the_cap(attempt: int, whole_s: float) -> None:
    policy = RetryPolicy(base_s=1, cap_s=300)
    assert backoff_s(policy, attempt, 0.0) == whole_s / 2
    assert backoff_s(policy, attempt, 1.0) == whole_s


@given(POLICIES, st.integers(min_value=1, max_value=10**9), UNIFORMS)
def test_the_delay_lies_between_half_and_whole_at_any_attempt(
    policy: RetryPolicy, attempt: int, uniform: float
) -> None:
    least, most = backoff_s(policy, attempt, 0.0), backoff_s(policy, attempt, 1.0)
    assert most <= policy.cap_s
    assert least == pytest.approx(most / 2)
    assert least <= backoff_s(policy, attempt, uniform) <= most


@given(POLICIES, st.integers(min_value=1, max_value=64), UNIFORMS, UNIFORMS)
def test_delays_never_shrink_below_the_cap(
    policy: RetryPolicy, attempt: int, first: float, second: float
) -> None:
    if policy.base_s * 2**attempt < policy.cap_s:
        assert backoff_s(policy, attempt, first) <= backoff_s(policy, attempt + 1, second)


@pytest.mark.parametrize(("attempt", "least_s", "most_s"), [(1, 4, 8), (3, 16, 32), (9, 150, 300)])
def test_retries_of_one_instant_spread_over_the_whole_window_rt02(
    attempt: int, least_s: float, most_s: float
) -> None:
    policy = RetryPolicy(base_s=8, cap_s=300)
    delays = [backoff_s(policy, attempt, n / 1_000) for n in range(1_000)]
    slices = Counter(int(10 * (delay - least_s) / (most_s - least_s)) for delay in delays)
    assert sorted(slices) == list(range(10))
    assert max(slices.values()) <= 110


@pytest.mark.parametrize(
    ("given_s", "delay_s"),
    [(0, 0), (0.5, 0.5), (7, 7), (1e300, MAX_DELAY_S), (10**400, MAX_DELAY_S)],
)
def test_a_handler_may_ask_for_a_delay_rt04(given_s: float, delay_s: float) -> None:
    assert delay_asked_for(given_s) == delay_s


@pytest.mark.parametrize(
    "given", ["soon", "1", -1, -0.001, nan, inf, -inf, None, True, [1], timedelta(seconds=1)]
)
def test_what_is_no_delay_is_told_from_one_rt04(given: object) -> None:
    assert delay_asked_for(given) is None


@given(POLICIES, st.floats(min_value=0, max_value=1e300))
def test_no_handler_gets_a_delay_that_its_policy_forbids_rt04(
    policy: RetryPolicy, seconds: float
) -> None:
    delay_s = within_policy_s(policy, seconds)
    assert backoff_s(policy, 1, 0.0) == policy.least_s <= delay_s <= policy.cap_s
    if policy.least_s <= seconds <= policy.cap_s:
        assert delay_s == seconds


@pytest.mark.parametrize(
    ("base_s", "cap_s"), [(0, 1), (-1, 1), (2, 1), (nan, 1), (1, nan), (1, inf), (1, 1e300)]
)
def test_a_policy_that_cannot_work_is_refused(base_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="base_s"):
        RetryPolicy(base_s, cap_s)


@given(st.integers(min_value=0, max_value=1_000))
def test_a_task_starts_once_more_than_it_has_retries(max_retries: int) -> None:
    attempt = 1
    while has_attempts_left(attempt, max_retries):
        attempt += 1
    assert attempt == max_retries + 1
