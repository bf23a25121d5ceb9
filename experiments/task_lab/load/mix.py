"""Which part of its workload each submission is: drawn from a seed, the same ones for ever."""

from __future__ import annotations

import random
from collections.abc import Sequence

from task_lab.spec import Phase, Workload


def mix_of(workload: Workload, phase: Phase, seed: int) -> list[int]:
    """Which part each task of a phase is, by its number; empty where there is only one part."""
    if len(workload.parts) == 1:
        return []
    return draw_mix([part.share for part in workload.parts], phase.tasks, f"{seed}/{phase.name}")


def draw_mix(shares: Sequence[float], tasks: int, seed: str) -> list[int]:
    """For each of `tasks` submissions, the number of its part, in an order drawn by the seed.

    shares: relative, one a part. Each part gets its share exactly, to within one task (largest
    remainders), so that a mix of 80/15/5 is one in every run. Only `random()` is drawn from: its
    stream never changes in Python.
    """
    parts = [part for part, count in enumerate(quotas(shares, tasks)) for _ in range(count)]
    rng = random.Random(seed)  # noqa: S311 - an order, not secrets
    places = [rng.random() for _ in parts]
    return [parts[place] for place in sorted(range(len(parts)), key=places.__getitem__)]


def quotas(shares: Sequence[float], tasks: int) -> list[int]:
    """How many tasks each part gets; they sum to `tasks`."""
    total = sum(shares)
    exact = [tasks * share / total for share in shares]
    counts = [int(one) for one in exact]
    by_remainder = sorted(range(len(shares)), key=lambda part: counts[part] - exact[part])
    for part in by_remainder[: tasks - sum(counts)]:
        counts[part] += 1
    return counts
