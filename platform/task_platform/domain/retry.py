"""When a failed attempt is tried again. Pure: the caller brings the random number."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

# A year: later than that is a mistake, and far later no date at all.
MAX_DELAY_S = 31_536_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with equal jitter.

    base_s: delay scale of the first retry, in seconds; the shortest delay is half of it.
    cap_s: the longest delay, in seconds.
    """

    base_s: float = 1.0
    cap_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s <= MAX_DELAY_S:
            raise ValueError(
                f"need 0 < base_s <= cap_s <= {MAX_DELAY_S}, got {self.base_s} and {self.cap_s}"
            )

    @property
    def least_s(self) -> float:
        """The shortest delay: nothing runs again sooner, whoever asks for it."""
        return self.base_s / 2


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


def delay_asked_for(seconds: object) -> float | None:
    """What a handler gave as a delay, or None when it is not a finite number of seconds >= 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # Comparing takes integers that are too large for a float.
    return float(min(seconds, MAX_DELAY_S)) if 0 <= seconds < inf else None


def within_policy_s(policy: RetryPolicy, seconds: float) -> float:
    """The delay that a handler asked for, as far as the policy allows it."""
    return min(max(seconds, policy.least_s), policy.cap_s)


def has_attempts_left(attempt: int, max_retries: int) -> bool:
    """Whether a task whose attempt number `attempt` (from 1) failed may run again."""
    return attempt <= max_retries
