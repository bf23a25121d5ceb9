"""Deleting what is over: each call one short statement on one bounded window."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from task_platform.domain.transitions import TERMINAL
from task_platform.storage.pool import Pool, fetch

_TERMINAL = sorted(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one window gave. last_scanned: where it ended; None when nothing lies beyond it."""

    deleted: int
    last_scanned: UUID | None


async def delete_finished_tasks(
    pool: Pool, *, after: UUID, before: UUID, window: int, age_s: float
) -> Swept:
    """Delete what was finished longer ago than the age among the next `window` tasks.

    A dead task stays while its dead letter is open. Raises DatabaseUnavailable.
    """
    (row,) = await fetch(pool, "delete_finished_tasks", after, before, window, age_s, _TERMINAL)
    return Swept(row["deleted"], row["last_scanned"] if row["scanned"] == window else None)


async def delete_resolved_rowless(pool: Pool, *, after: UUID, window: int, age_s: float) -> Swept:
    """The same for dead letters that were resolved and have no task."""
    (row,) = await fetch(pool, "delete_resolved_rowless", after, window, age_s)
    return Swept(row["deleted"], row["last_scanned"] if row["scanned"] == window else None)


async def delete_expired_keys(pool: Pool, *, limit: int) -> int:
    """Delete so many expired idempotency keys at most; returns how many."""
    (row,) = await fetch(pool, "delete_expired_keys", limit)
    return int(row["deleted"])
