"""The list of the dead: what failed for good, and what people decided about it.

The list is in the database; the queue `tasks.dlq` only repeats what is open on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from task_platform.domain.task import FailedAttempt
from task_platform.domain.transitions import Event, target
from task_platform.errors import NotFound
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.reads import MAX_FAILURES

# Dead letters looked at for one page, and for one step of a bulk command.
SCAN_WINDOW = 2_000

_DEAD = target(Event.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry of the list. Open while `resolved_at` is None.

    task_type and what follows is the task's; None when the message named no task.
    error: JSON text.
    """

    task_id: UUID
    reason: str
    failed_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    replayed_as: UUID | None
    tenant: str | None
    task_type: str | None
    attempts: int | None
    max_retries: int | None
    error: str | None
    replay_of: UUID | None


@dataclass(frozen=True, slots=True)
class Detail:
    """A dead letter with all that is known of its task.

    payload: JSON text. failures: the newest, oldest first.
    is_unannounced: its message has still to reach the dead letter queue.
    """

    letter: DeadLetter
    payload: str | None
    created_at: datetime | None
    is_unannounced: bool
    failures: tuple[FailedAttempt, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Dead letters, newest first. next_before: continue below this one; None at the end.

    A page may be short and still have a next one: the window had no more matches.
    """

    letters: tuple[DeadLetter, ...]
    next_before: UUID | None


class Outcome(StrEnum):
    """What became of a request to replay or purge one dead letter."""

    REPLAYED = "replayed"
    PURGED = "purged"
    RESOLVED_BEFORE = "resolved_before"
    NO_TASK = "no_task"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk through the open dead letters stands: in the order of their deaths."""

    failed_at: datetime
    task_id: UUID


BEGINNING = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """An open dead letter on a walk. task_type: None when it has no task."""

    position: Position
    task_type: str | None


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """An open dead letter. is_announced: the dead letter queue has to hold its message."""

    position: Position
    is_announced: bool


async def list_dead_letters(
    pool: Pool, *, before: UUID | None, only_open: bool, task_type: str | None, limit: int
) -> Page:
    """One page. Raises NotFound when `before` is no dead letter, DatabaseUnavailable."""
    rows = await fetch(pool, "list_dead_letters", before, SCAN_WINDOW, only_open, task_type, limit)
    edge = rows[0]
    if not edge["is_known"]:
        raise NotFound(f"no dead letter {before} to continue from")
    letters = tuple(_letter(row) for row in rows if row["task_id"] is not None)
    if len(letters) == limit:
        return Page(letters, letters[-1].task_id)
    return Page(letters, edge["last_scanned"] if edge["scanned"] == SCAN_WINDOW else None)


async def show_dead_letter(pool: Pool, task_id: UUID) -> Detail | None:
    """Everything about one dead letter, or None. Raises DatabaseUnavailable."""
    rows = await fetch(pool, "show_dead_letter", task_id)
    if not rows:
        return None
    (row,) = rows
    history = await fetch(pool, "dead_letter_history", task_id, MAX_FAILURES)
    return Detail(
        letter=_letter(row),
        payload=row["payload"],
        created_at=row["created_at"],
        is_unannounced=row["is_unannounced"],
        failures=tuple(FailedAttempt(*failure) for failure in reversed(history)),
    )


async def open_dead_letters(
    pool: Pool, *, until: datetime, after: Position, limit: int = SCAN_WINDOW
) -> list[OpenLetter]:
    """The next open ones of those that died by `until`, oldest first; empty at the end."""
    rows = await fetch(pool, "open_dead_letters", until, after.failed_at, after.task_id, limit)
    return [
        OpenLetter(Position(row["failed_at"], row["task_id"]), row["task_type"]) for row in rows
    ]


async def replay_dead_letters(
    pool: Pool, new_ids: Mapping[UUID, UUID]
) -> dict[UUID, tuple[Outcome, UUID | None]]:
    """Repeat dead tasks as new ones; says for each what became of it, and the new task's id.

    new_ids: for each dead task the id (UUIDv7) its repetition is to have.
    Safe with several at once: each dead letter is replayed once. Raises DatabaseUnavailable.
    """
    rows = await fetch(pool, "replay_dead_letters", list(new_ids), list(new_ids.values()), _DEAD)
    return {row["id"]: (_replay_outcome(row), row["replayed_as"]) for row in rows}


async def purge_dead_letters(pool: Pool, ids: Collection[UUID]) -> dict[UUID, Outcome]:
    """Resolve dead letters for good; their tasks stay FAILED until retention deletes them."""
    rows = await fetch(pool, "purge_dead_letters", list(set(ids)))
    return {row["id"]: _purge_outcome(row) for row in rows}


async def count_open(pool: Pool) -> tuple[int, bool]:
    """How many are open, and whether messages of any wait to reach their queue."""
    (row,) = await fetch(pool, "count_open_dead_letters")
    return row["open"], row["has_unannounced"]


async def announced_dead_letters(
    pool: Pool, *, after: Position, limit: int = SCAN_WINDOW
) -> list[ListedLetter]:
    """The next open ones, oldest first, and whether their messages were confirmed."""
    rows = await fetch(pool, "announced_dead_letters", after.failed_at, after.task_id, limit)
    return [
        ListedLetter(Position(row["failed_at"], row["task_id"]), row["is_announced"])
        for row in rows
    ]


async def open_among(pool: Pool, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are open dead letters. Raises DatabaseUnavailable."""
    return {row["task_id"] for row in await fetch(pool, "open_among", ids)}


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(**{name: row[name] for name in DeadLetter.__slots__})


def _replay_outcome(row: asyncpg.Record) -> Outcome:
    if row["replayed_as"] is not None:
        return Outcome.REPLAYED
    if not row["is_listed"]:
        return Outcome.NOT_FOUND
    return Outcome.RESOLVED_BEFORE if row["has_task"] else Outcome.NO_TASK


def _purge_outcome(row: asyncpg.Record) -> Outcome:
    if row["is_purged"]:
        return Outcome.PURGED
    return Outcome.RESOLVED_BEFORE if row["is_listed"] else Outcome.NOT_FOUND
