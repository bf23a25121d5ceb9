"""The outbox: messages that were committed with their tasks and still have to reach the broker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from task_platform.domain.task import State
from task_platform.domain.transitions import TERMINAL
from task_platform.storage.pool import Pool, fetch

_TERMINAL = sorted(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Tasks to announce on one queue; the row goes when every message is confirmed."""

    id: int
    queue: str
    task_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Reannounced:
    """What one window of the search for forgotten tasks found.

    last_scanned: where the window ended; None when there was nothing in it.
    first_open: the first task in it that is not terminal; None when all were.
    frontier: the latest due time of all that is known to have been started longer ago than the age.
    """

    announced: int
    last_scanned: UUID | None
    first_open: UUID | None
    frontier: datetime | None


async def claim_outbox_rows(
    pool: Pool, *, queue: str, limit: int, hide_s: float
) -> list[OutboxRow]:
    """Take a queue's due rows, hidden from others for `hide_s` seconds.

    Raises DatabaseUnavailable.
    """
    rows = await fetch(pool, "claim_outbox_rows", limit, hide_s, queue)
    return [OutboxRow(row["id"], row["queue"], tuple(row["task_ids"])) for row in rows]


async def settle_outbox_rows(
    pool: Pool, rows: Sequence[OutboxRow], confirmed: Collection[UUID], *, retry_in_s: float
) -> int:
    """Delete rows whose tasks are all confirmed; shrink the others to the rest.

    Returns how many messages are still to be sent.
    """
    done, untouched = [], []
    remaining = 0
    for row in rows:
        rest = [task_id for task_id in row.task_ids if task_id not in confirmed]
        remaining += len(rest)
        if not rest:
            done.append(row.id)
        elif len(rest) == len(row.task_ids):
            untouched.append(row.id)
        else:
            await fetch(pool, "shrink_outbox_row", row.id, rest, retry_in_s)
    if done:
        await fetch(pool, "delete_outbox_rows", done)
    if untouched:
        await release_outbox_rows(pool, untouched, in_s=retry_in_s)
    return remaining


async def release_outbox_rows(pool: Pool, row_ids: Sequence[int], *, in_s: float) -> None:
    """Let relays take these rows, `in_s` seconds from now. Raises DatabaseUnavailable."""
    await fetch(pool, "release_outbox_rows", row_ids, in_s)


async def oldest_unsent_age_s(pool: Pool) -> float:
    """Seconds for which the oldest due message has been waiting; 0 when none is."""
    (row,) = await fetch(pool, "oldest_unsent_age")
    return float(row[0])


async def reannounce(
    pool: Pool,
    *,
    after: UUID,
    before: UUID,
    window: int,
    age_s: float,
    only_overtaken: bool,
    frontier: datetime | None = None,
) -> Reannounced:
    """Announce forgotten tasks among the first `window` ids between `after` and `before`.

    frontier: the one that an earlier window has found.
    """
    (row,) = await fetch(
        pool,
        "reannounce",
        after,
        before,
        window,
        age_s,
        State.QUEUED.value,
        _TERMINAL,
        only_overtaken,
        frontier,
    )
    return Reannounced(row["announced"], row["last_scanned"], row["first_open"], row["frontier"])
