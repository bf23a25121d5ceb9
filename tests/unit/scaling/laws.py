"""Measurements as a law makes them, with and without noise."""

import numpy as np
from task_lab.scaling.law import Law


def exact(law: Law, counts: range, repeats: int = 2) -> dict[int, list[float]]:
    """The law's own throughputs, each count as often as asked."""
    return {n: [law.per_s(n)] * repeats for n in counts}


def noisy(
    law: Law,
    counts: range,
    rng: np.random.Generator,
    *,
    repeats: int = 6,
    within: float = 0.02,
    between: float = 0.0,
) -> dict[int, list[float]]:
    """Throughputs with relative noise of each measurement, and of each count as a whole."""
    return {
        n: list(
            law.per_s(n)
            * np.exp(between * rng.standard_normal())
            * np.exp(within * rng.standard_normal(repeats))
        )
        for n in counts
    }
