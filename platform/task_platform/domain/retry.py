"""When a failed attempt is tried again. Pure: the caller brings the random number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with equal jitter.

    base_s: delay scale of the first retry, in seconds.
    cap_s: the longest delay, in seconds.
    """

    base_s: float = 1.0
    cap_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s:
            raise ValueError(f"need 0 < base_s <= cap_s, got {self.base_s} and {self.cap_s}")


def backoff_s(policy: RetryPolicy, attempt: int, uniform: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    uniform: a random number in [0, 1).
    Equal jitter draws from [half, whole] of `base * 2 ** (attempt - 1)`, so delays spread and
    still never shrink from one attempt to the next below the cap (Brooker, "Exponential Backoff
    And Jitter", 2015). The cap is applied before the power can overflow.
    """
    doublings = attempt - 1
    if doublings >= 64 or policy.base_s * 2**doublings >= policy.cap_s:
        whole = policy.cap_s
    else:
        whole = policy.base_s * 2**doublings
    return whole * (0.5 + 0.5 * uniform)


def has_attempts_left(attempt: int, max_retries: int) -> bool:
    """Whether a task whose attempt number `attempt` (from 1) failed may run again."""
    return attempt <= max_retries
