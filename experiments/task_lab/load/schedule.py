"""When each task of an open loop is meant to be sent, decided before the first one is.

A closed loop needs no schedule: it sends when an answer frees a place.
"""

from __future__ import annotations

import random
from itertools import accumulate


def constant_schedule(tasks: int, per_s: float) -> list[float]:
    """Seconds after the start at which each task is due, evenly spaced."""
    return [index / per_s for index in range(tasks)]


def poisson_schedule(tasks: int, per_s: float, seed: int) -> list[float]:
    """Seconds after the start at which each task is due, independent arrivals at a mean rate.

    The same seed gives the same arrivals on every machine.
    """
    rng = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    return list(accumulate(rng.expovariate(per_s) for _ in range(tasks)))
