"""How batches are cut. The asyncio shell around these decisions is `task_platform.batcher`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full, and when there is too much waiting.

    max_count: members of one batch.
    max_bytes: sum of the members' sizes; one larger member still goes, alone.
    apart_s: how long after a batch of several the next one may begin, unless it is full: otherwise
        each would begin with the few that came during the last, and cost as much as a large one.
    max_backlog: members waiting before callers are made to wait, then refused.
    """

    max_count: int = 250
    max_bytes: int = 1_000_000
    apart_s: float = 0.0
    max_backlog: int = 10_000


def members_to_flush(sizes: Sequence[int], limits: BatchLimits) -> int:
    """How many of the waiting members, oldest first, go into the next batch."""
    total = 0
    for index, size in enumerate(sizes[: limits.max_count]):
        total += size
        if total > limits.max_bytes and index > 0:
            return index
    return min(len(sizes), limits.max_count)


def halves(members: int) -> tuple[slice, slice]:
    """Where to cut a failed batch in two, to find the member that is at fault."""
    middle = members // 2
    return slice(0, middle), slice(middle, members)
