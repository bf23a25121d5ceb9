"""Steps of a task's life on a real database, for tests that care about the one after them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg
from task_platform.domain.task import ClaimedTask, NewTask
from task_platform.storage.claims import Claim, claim_tasks, expire_leases
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import Submitted, submit_tasks

from ....factories import new_task

HOUR_S = 3_600.0


async def submit(pool: Pool, *tasks: NewTask, ttl_s: float = HOUR_S) -> list[Submitted]:
    """Commit the tasks; their outbox row is left to the submitter for an hour."""
    outcomes, _ = await submit_tasks(pool, tasks, grace_s=HOUR_S, key_ttl_s=ttl_s)
    return outcomes


async def submitted_ids(pool: Pool, count: int = 1, **fields: Any) -> list[UUID]:
    """Ids of so many new tasks, in order."""
    tasks = [new_task(**fields) for _ in range(count)]
    await submit(pool, *tasks)
    return [task.id for task in tasks]


async def claim(
    pool: Pool, ids: Collection[UUID], *, owner: str = "w1", alone: bool = False
) -> Claim:
    """Claim for long enough that nothing runs out by itself."""
    return await claim_tasks(pool, ids, owner=owner, lease_s=HOUR_S, alone=alone)


async def claimed(pool: Pool, count: int = 1, **fields: Any) -> tuple[Claim, list[ClaimedTask]]:
    """So many new tasks, claimed together; in the order of their ids."""
    answer = await claim(pool, await submitted_ids(pool, count, **fields))
    assert len(answer.tasks) == count
    return answer, sorted(answer.tasks, key=lambda task: task.id)


async def lose_claims(pool: Pool, owner: str = "w1") -> tuple[int, int]:
    """The owner dies, its leases run out, the reaper comes by: (claims, tasks) it found."""
    await pool.execute(
        "update claims set expires_at = now() - interval '1 second' where owner = $1", owner
    )
    return await expire_leases(pool)


async def forget_outbox(pool: Pool) -> None:
    """Everything was announced."""
    await pool.execute("delete from outbox")


async def task_row(pool: Pool, task_id: UUID) -> asyncpg.Record:
    """The task as the database has it."""
    row = await pool.fetchrow(
        "select *, due_at > now() as is_later from tasks where id = $1", task_id
    )
    assert row is not None
    return row


async def outbox(pool: Pool, queue: str = "tasks") -> list[asyncpg.Record]:
    """Outbox rows of a queue, oldest first; `is_due`: a relay may take it now."""
    return await pool.fetch(
        "select *, available_at <= now() as is_due from outbox where queue = $1 order by id", queue
    )


async def failures_of(pool: Pool, task_id: UUID) -> list[asyncpg.Record]:
    """The attempts of a task that did not succeed, in order."""
    return await pool.fetch(
        "select * from attempt_failures where task_id = $1 order by fence", task_id
    )


async def until_locked(pool: Pool) -> None:
    """Return once a session waits for a lock."""
    async with asyncio.timeout(5):
        while not await pool.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
        ):
            await asyncio.sleep(0.01)
