"""Committing submissions: many tasks, one statement, one outbox row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from task_platform.domain.task import NewTask, Task
from task_platform.errors import DatabaseUnavailable, KeyReused
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.rows import task_from_row


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit made: the tasks it inserted, and the outbox row that stands for them."""

    outbox_id: int
    task_ids: tuple[UUID, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """The submission repeats an earlier one under its key: this is the task of that time."""

    task: Task


@dataclass(frozen=True, slots=True)
class Created:
    """The submission is a new, committed task."""

    created_at: datetime


Submitted = Created | Replayed | KeyReused

# A key may be taken between our insert and our look, and be gone again at the look. Losing this
# race several times in a row means that something else is wrong.
_KEY_RACES = 4


async def insert_tasks(
    pool: Pool, tasks: Sequence[NewTask], *, grace_s: float, key_ttl_s: float
) -> Committed | None:
    """Commit the tasks whose keys are free; None when no task was.

    Each (tenant, key) must occur at most once. Raises DatabaseUnavailable, BadData.
    """
    columns = (
        [task.id for task in tasks],
        [task.tenant for task in tasks],
        [task.task_type for task in tasks],
        [task.payload for task in tasks],
        [task.max_retries for task in tasks],
        grace_s,
    )
    if any(task.idempotency_key is not None for task in tasks):
        keys = [task.idempotency_key for task in tasks]
        fingerprints = [task.fingerprint for task in tasks]
        rows = await fetch(pool, "insert_keyed_tasks", *columns, keys, fingerprints, key_ttl_s)
    else:
        rows = await fetch(pool, "insert_tasks", *columns)
    if not rows:
        return None
    (row,) = rows
    return Committed(row["outbox_id"], tuple(row["task_ids"]), row["created_at"])


async def submit_tasks(
    pool: Pool, tasks: Sequence[NewTask], *, grace_s: float, key_ttl_s: float
) -> tuple[list[Submitted], list[Committed]]:
    """Commit a batch of submissions, each settled as new, repeated, or a misused key.

    Equal keys inside the batch are settled in memory: the first submission speaks for them all.
    Returns one outcome per task, in order, and what was committed on the way.
    """
    leaders: dict[tuple[str, str], NewTask] = {}
    for task in tasks:
        if task.idempotency_key is not None:
            leaders.setdefault(_key(task), task)
    unsettled = [t for t in tasks if t.idempotency_key is None or leaders[_key(t)] is t]
    commits: list[Committed] = []
    created: dict[UUID, datetime] = {}
    found: dict[tuple[str, str], tuple[bytes, Task]] = {}
    for _ in range(_KEY_RACES):
        commit = await insert_tasks(pool, unsettled, grace_s=grace_s, key_ttl_s=key_ttl_s)
        if commit is not None:
            commits.append(commit)
            created.update(dict.fromkeys(commit.task_ids, commit.created_at))
        unsettled = [task for task in unsettled if task.id not in created]
        if unsettled:
            # A second statement: the first one's snapshot cannot see a row that won the race.
            found.update(await _find_keyed_tasks(pool, {_key(task) for task in unsettled}))
            unsettled = [task for task in unsettled if _key(task) not in found]
        if not unsettled:
            break
    else:
        raise DatabaseUnavailable("idempotency keys kept changing hands")
    followed = {_key(t) for t in tasks if t.id not in created and _key(t) not in found}
    if followed:
        found.update(await _find_keyed_tasks(pool, followed))
    return [_outcome(task, created, found) for task in tasks], commits


def _outcome(
    task: NewTask,
    created: dict[UUID, datetime],
    found: dict[tuple[str, str], tuple[bytes, Task]],
) -> Submitted:
    if task.id in created:
        return Created(created[task.id])
    fingerprint, existing = found[_key(task)]
    if fingerprint != task.fingerprint:
        return KeyReused("this idempotency key was used with another request")
    return Replayed(existing)


def _key(task: NewTask) -> tuple[str, str]:
    assert task.idempotency_key is not None
    return task.tenant, task.idempotency_key


async def _find_keyed_tasks(
    pool: Pool, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[bytes, Task]]:
    rows = await fetch(
        pool, "find_keyed_tasks", [tenant for tenant, _ in keys], [key for _, key in keys]
    )
    return {(row["tenant"], row["key"]): (row["fingerprint"], task_from_row(row)) for row in rows}
