"""Replaying and purging many dead letters: in steps, at a bounded rate, and never in a circle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from uuid_utils.compat import uuid7

from task_platform.storage import dead_letters
from task_platform.storage.dead_letters import BEGINNING, Outcome
from task_platform.storage.health import database_now
from task_platform.storage.pool import Pool

# Rows in one statement: short enough to be in nobody's way.
_MOST_AT_ONCE = 500
# A replay comes in so many portions a second, so that even a low rate is an even one.
_PORTIONS_PER_S = 5
# Ids that a report names; beyond, it only counts.
_MOST_NAMED = 10_000


@dataclass
class Report:
    """What became of each dead letter that was asked for.

    new_ids: the new task of each replayed one. not_done: what was left, and why. Both end at 10,000
    entries; the counts do not.
    """

    counts: Counter[Outcome] = field(default_factory=Counter)
    new_ids: dict[UUID, UUID] = field(default_factory=dict)
    not_done: dict[UUID, Outcome] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.counts.total()

    def count(self, outcome: Outcome) -> int:
        return self.counts[outcome]

    def note(self, task_id: UUID, outcome: Outcome, new_id: UUID | None = None) -> None:
        """Note what became of one."""
        self.counts[outcome] += 1
        if new_id is not None and len(self.new_ids) < _MOST_NAMED:
            self.new_ids[task_id] = new_id
        if outcome not in (Outcome.REPLAYED, Outcome.PURGED) and len(self.not_done) < _MOST_NAMED:
            self.not_done[task_id] = outcome


async def replay(
    pool: Pool, ids: Sequence[UUID] | None, *, task_type: str | None, rate: float
) -> Report:
    """Replay these, or all that are open now (of a type); at most `rate` tasks a second.

    What dies meanwhile is left alone, so that a replay of tasks that die at once comes to an end.
    """
    report = Report()
    started = monotonic()
    portion = max(1, min(_MOST_AT_ONCE, int(rate / _PORTIONS_PER_S)))
    async for chosen in _portions(pool, ids, task_type=task_type, size=portion):
        await asyncio.sleep(started + report.count(Outcome.REPLAYED) / rate - monotonic())
        outcomes = await dead_letters.replay_dead_letters(
            pool, {task_id: uuid7() for task_id in chosen}
        )
        for task_id, (outcome, new_id) in outcomes.items():
            report.note(task_id, outcome, new_id)
    return report


async def purge(pool: Pool, ids: Sequence[UUID] | None, *, task_type: str | None) -> Report:
    """Purge these, or all that are open now (of a type)."""
    report = Report()
    async for chosen in _portions(pool, ids, task_type=task_type, size=_MOST_AT_ONCE):
        for task_id, outcome in (await dead_letters.purge_dead_letters(pool, chosen)).items():
            report.note(task_id, outcome)
    return report


async def _portions(
    pool: Pool, ids: Sequence[UUID] | None, *, task_type: str | None, size: int
) -> AsyncIterator[Sequence[UUID]]:
    """What was asked for, or what is dead by now: so many at a time."""
    if ids is not None:
        for start in range(0, len(ids), size):
            yield ids[start : start + size]
        return
    until = await database_now(pool)
    position = BEGINNING
    while window := await dead_letters.open_dead_letters(pool, until=until, after=position):
        position = window[-1].position
        chosen = [
            letter.position.task_id
            for letter in window
            if task_type is None or letter.task_type == task_type
        ]
        for start in range(0, len(chosen), size):
            yield chosen[start : start + size]
