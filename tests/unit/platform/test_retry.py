"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.retry import RetryPolicy, backoff_s, has_attempts_left

SCALES = st.floats(min_value=1e-6, max_value=3_600)
POLICIES = st.builds(
    lambda base, factor: RetryPolicy(base, base * factor),
    SCALES,
    st.floats(min_value=1, max_value=1e6),
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


def test_retries_of_one_instant_spread() -> None:
    policy = RetryPolicy(base_s=8, cap_s=300)
    delays = [backoff_s(policy, 1, n / 1_000) for n in range(1_000)]
    per_second = [sum(int(delay) == second for delay in delays) for second in range(4, 8)]
    assert max(per_second) <= 260


@pytest.mark.parametrize(("base_s", "cap_s"), [(0, 1), (-1, 1), (2, 1)])
def test_a_policy_that_cannot_work_is_refused(base_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="base_s"):
        RetryPolicy(base_s, cap_s)


@given(st.integers(min_value=0, max_value=1_000))
def test_a_task_starts_once_more_than_it_has_retries(max_retries: int) -> None:
    attempt = 1
    while has_attempts_left(attempt, max_retries):
        attempt += 1
    assert attempt == max_retries + 1
