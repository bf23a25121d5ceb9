"""Committing submissions: many tasks, one statement, one outbox row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from task_platform.domain.task import NewTask, Task
from task_platform.errors import DatabaseUnavailable, KeyReused, TaskPruned
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.rows import task_from_row


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit made: the tasks it inserted, and the outbox row that stands for them.

    keys_expire_at: when the idempotency keys of this commit do; None when no task carried one.
    """

    outbox_id: int
    task_ids: tuple[UUID, ...]
    created_at: datetime
    keys_expire_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The submission is a new, committed task."""

    created_at: datetime
    key_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The submission repeats an earlier one under its key: this is the task of that time."""

    task: Task
    key_expires_at: datetime


Submitted = Created | Replayed | KeyReused | TaskPruned


@dataclass(frozen=True, slots=True)
class _Holder:
    """What holds an idempotency key. task: None when the key has outlived it."""

    fingerprint: bytes
    expires_at: datetime
    task: Task | None


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
    return Committed(
        row["outbox_id"], tuple(row["task_ids"]), row["created_at"], row.get("keys_expire_at")
    )


async def submit_tasks(
    pool: Pool, tasks: Sequence[NewTask], *, grace_s: float, key_ttl_s: float
) -> tuple[list[Submitted], list[Committed]]:
    """Commit a batch of submissions, each settled as new, repeated, or refused by its key.

    Equal keys inside the batch are settled in memory: the first submission speaks for them all.
    Returns one outcome per task, in order, and what was committed on the way.
    """
    leaders: dict[tuple[str, str], NewTask] = {}
    for task in tasks:
        if task.idempotency_key is not None:
            leaders.setdefault(_key(task), task)
    unsettled = [t for t in tasks if t.idempotency_key is None or leaders[_key(t)] is t]
    commits: list[Committed] = []
    created: dict[UUID, Created] = {}
    holders: dict[tuple[str, str], _Holder] = {}
    for _ in range(_KEY_RACES):
        commit = await insert_tasks(pool, unsettled, grace_s=grace_s, key_ttl_s=key_ttl_s)
        if commit is not None:
            commits.append(commit)
            ours = Created(commit.created_at, commit.keys_expire_at)
            created.update(dict.fromkeys(commit.task_ids, ours))
        unsettled = [task for task in unsettled if task.id not in created]
        if unsettled:
            # A second statement: the first one's snapshot cannot see a row that won the race.
            holders.update(await _find_key_holders(pool, {_key(task) for task in unsettled}))
            unsettled = [task for task in unsettled if _key(task) not in holders]
        if not unsettled:
            break
    else:
        raise DatabaseUnavailable("idempotency keys kept changing hands")
    for key, leader in leaders.items():
        if (by_us := created.get(leader.id)) is not None:
            assert by_us.key_expires_at is not None
            holders[key] = _Holder(
                leader.fingerprint, by_us.key_expires_at, leader.committed(by_us.created_at)
            )
    return [_outcome(task, created, holders) for task in tasks], commits


def _outcome(
    task: NewTask, created: dict[UUID, Created], holders: dict[tuple[str, str], _Holder]
) -> Submitted:
    if (by_us := created.get(task.id)) is not None:
        return by_us if task.idempotency_key is not None else Created(by_us.created_at)
    holder = holders[_key(task)]
    if holder.fingerprint != task.fingerprint:
        return KeyReused(
            "this idempotency key was used with another request",
            key_expires_at=holder.expires_at,
        )
    if holder.task is None:
        return TaskPruned(
            "this request was accepted before, and its task has been removed since",
            key_expires_at=holder.expires_at,
        )
    return Replayed(holder.task, holder.expires_at)


def _key(task: NewTask) -> tuple[str, str]:
    assert task.idempotency_key is not None
    return task.tenant, task.idempotency_key


async def _find_key_holders(
    pool: Pool, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], _Holder]:
    rows = await fetch(
        pool, "find_key_holders", [tenant for tenant, _ in keys], [key for _, key in keys]
    )
    return {
        (row["key_tenant"], row["key"]): _Holder(
            row["fingerprint"],
            row["expires_at"],
            None if row["id"] is None else task_from_row(row),
        )
        for row in rows
    }
