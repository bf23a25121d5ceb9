"""Which rate to probe next, and when to stop: decisions of the search, without a clock or a load.

Pure. A rate is sustained when a probe at it met every objective. The search doubles or halves its
way to a sustained and a failed rate, then bisects between them (by the geometric mean, because a
platform's rate is not known to within an order of magnitude at first).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# From bound to bound before there are two.
_STRIDE = 1.5


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe: what was offered, and whether the platform kept to every objective."""

    per_s: float
    is_sustained: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the probes so far say. low: highest rate known to be sustained; high: lowest failed.

    A rate that failed below one that was sustained later was bad luck, or a change of the machine:
    the later word stands.
    """

    low: float | None
    high: float | None

    def is_close(self, precision: float) -> bool:
        """Whether the two are so close, relative to the lower one, that no probe is needed."""
        if self.low is None or self.high is None:
            return False
        return self.high - self.low <= precision * self.low * (1 + 1e-9)


def bounds_of(probes: Sequence[Probe]) -> Bounds:
    """The bounds after these probes, in the order in which they were made."""
    low: float | None = None
    high: float | None = None
    for probe in probes:
        if probe.is_sustained:
            low = probe.per_s if low is None else max(low, probe.per_s)
            if high is not None and high <= probe.per_s:
                high = None
        else:
            high = probe.per_s if high is None else min(high, probe.per_s)
            if low is not None and low >= probe.per_s:
                low = None
    return Bounds(low, high)


def next_rate(
    probes: Sequence[Probe], *, start_per_s: float, most_per_s: float, precision: float
) -> float | None:
    """The rate of the next probe; None when the search is over.

    most_per_s: what the generator can vouch for; a platform that sustains it is not pushed on.
    """
    if not probes:
        return min(start_per_s, most_per_s)
    bounds = bounds_of(probes)
    if bounds.is_close(precision):
        return None
    if bounds.high is None:
        assert bounds.low is not None
        return None if bounds.low >= most_per_s else min(bounds.low * _STRIDE, most_per_s)
    if bounds.low is None:
        return bounds.high / _STRIDE
    return math.sqrt(bounds.low * bounds.high)


def step_s(per_s: float, *, least_s: float, most_s: float, tasks: float) -> float:
    """How long a step at a rate lasts: until it has so many tasks, within the two limits."""
    return round(min(most_s, max(least_s, tasks / per_s)), 3)
