"""Counting tasks by state: each call one short statement, on one window of ids or on known ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from task_platform.domain.task import State
from task_platform.domain.transitions import TERMINAL
from task_platform.storage.pool import Pool, fetch

_TERMINAL = sorted(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a look at some tasks gave.

    tasks: how many are in which state; a state that none is in is left out.
    oldest_s: time since the submission of the oldest open one, by the database's clock; 0 when none
        is open.
    """

    tasks: dict[State, int]
    oldest_s: float

    @property
    def finished(self) -> dict[State, int]:
        """The terminal ones."""
        return {state: count for state, count in self.tasks.items() if state in TERMINAL}


@dataclass(frozen=True, slots=True)
class CountedWindow(Counted):
    """The same for a window of ids.

    open_ids: the open ones; None when there are too many to be named.
    last_scanned: where the window ended; None when there was nothing in it.
    """

    open_ids: frozenset[UUID] | None
    last_scanned: UUID | None


async def census_window(
    pool: Pool, *, after: UUID, before: UUID, window: int, few: int
) -> CountedWindow:
    """Count the first `window` tasks between two ids, both exclusive.

    few: of each open state, so many are named at most. Raises DatabaseUnavailable.
    """
    rows = await fetch(pool, "census_window", after, before, window, _TERMINAL, few)
    counted = _counted(rows)
    named = [row["ids"] for row in rows if State(row["state"]) not in TERMINAL]
    return CountedWindow(
        counted.tasks,
        counted.oldest_s,
        None if None in named else frozenset(task_id for ids in named for task_id in ids),
        rows[0]["last_scanned"] if rows else None,
    )


async def census_tasks(pool: Pool, ids: Collection[UUID]) -> tuple[Counted, dict[UUID, State]]:
    """Count these tasks; which of them are terminal, and how they ended.

    Raises DatabaseUnavailable.
    """
    rows = await fetch(pool, "census_tasks", list(ids), _TERMINAL)
    ended = {
        task_id: State(row["state"])
        for row in rows
        if State(row["state"]) in TERMINAL
        for task_id in row["ids"]
    }
    return _counted(rows), ended


def _counted(rows: Sequence[asyncpg.Record]) -> Counted:
    tasks = {State(row["state"]): int(row["tasks"]) for row in rows}
    ages = [row["age_s"] for row in rows if State(row["state"]) not in TERMINAL]
    return Counted(tasks, max(ages, default=0.0))
