"""How batches are cut. The asyncio shell around these decisions is `task_platform.batcher`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full, and when there is too much waiting.

    max_count: members of one batch.
    max_bytes: sum of the members' sizes; one larger member still goes, alone.
    apart_s, apart_per_member_s: how long after a batch the next one may begin at most, and for each
        member of that batch; see `pause_after`.
    company: so many waiting members, or a full batch, begin without a pause.
    max_backlog: members waiting before callers are made to wait, then refused.
    """

    max_count: int = 250
    max_bytes: int = 1_000_000
    apart_s: float = 0.0
    apart_per_member_s: float = 0.0
    company: int = 250
    max_backlog: int = 10_000


def pause_after(members: int, limits: BatchLimits) -> float:
    """Seconds from the start of a batch of so many members to that of the next.

    Without a pause each batch would begin with the few that came during the last, and cost as much
    as a large one. The pause grows with the batch: where members come faster than one in
    apart_per_member_s, batches and pauses grow together up to apart_s; where they come more slowly,
    both shrink to nothing, and nobody waits for a company that will not come.
    """
    if members < 2:
        return 0.0
    return min(limits.apart_s, members * limits.apart_per_member_s)


class Spacing:
    """When the next batch may begin, by the one before it. All instants are of one clock."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._next_at = 0.0

    def note(self, members: int, now: float) -> None:
        """Begin the pause after a batch of so many."""
        if pause_s := pause_after(members, self._limits):
            self._next_at = now + pause_s

    def pause_s(self, now: float) -> float:
        """What is left of the pause."""
        return max(0.0, self._next_at - now)


def has_company(members: int, size: int, limits: BatchLimits) -> bool:
    """Whether so many waiting members, of this size together, need no pause before they go."""
    return members >= min(limits.company, limits.max_count) or size >= limits.max_bytes


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
