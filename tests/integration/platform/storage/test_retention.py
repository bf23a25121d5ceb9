"""What is over is deleted with all that belongs to it; what somebody still needs is not."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from task_platform.storage.claims import bury_rowless
from task_platform.storage.dead_letters import purge_dead_letters, replay_dead_letters
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful
from task_platform.storage.pool import Pool
from task_platform.storage.retention import (
    Swept,
    delete_expired_keys,
    delete_finished_tasks,
    delete_resolved_rowless,
)
from uuid_utils.compat import uuid7

from ....factories import failure, keyed_task, some_ids, success
from .steps import HOUR_S, claimed, submit, submitted_ids
from .test_reannounce import HIGHEST, LOWEST

TABLES = ("tasks", "attempt_failures", "effects", "effect_log", "dead_letters")


async def sweep(pool: Pool, *, age_s: float = 0.0, **changes: Any) -> Swept:
    """One window over everything."""
    window: dict[str, Any] = {"after": LOWEST, "before": HIGHEST, "window": 1_000} | changes
    return await delete_finished_tasks(pool, age_s=age_s, **window)


async def counts(pool: Pool) -> dict[str, int]:
    """Rows of each table, where there are any."""
    found = {table: await pool.fetchval(f"select count(*) from {table}") for table in TABLES}
    return {table: count for table, count in found.items() if count}


async def with_traces(pool: Pool, task_id: UUID) -> UUID:
    """The task, after its handler has left traces."""
    await pool.execute(
        "insert into effects (task_id, name, fence, result) values ($1, 'once', 1, '1')", task_id
    )
    await pool.execute(
        "insert into effect_log (task_id, fence, kind) values ($1, 1, 'started')", task_id
    )
    return task_id


async def succeeded(pool: Pool, count: int = 1) -> list[UUID]:
    _, tasks = await claimed(pool, count)
    await finish_succeeded(pool, [success(task) for task in tasks], closed_claims=[])
    return [task.id for task in tasks]


async def dead(pool: Pool) -> UUID:
    _, (task,) = await claimed(pool)
    await finish_unsuccessful(pool, [failure(task)], worker="w1", closed_claims=[])
    return task.id


async def test_a_finished_task_goes_with_all_that_belongs_to_it(pool: Pool) -> None:
    (done,) = await succeeded(pool)
    await with_traces(pool, done)
    purged = await with_traces(pool, await dead(pool))
    await purge_dead_letters(pool, [purged])
    assert len(await counts(pool)) == 5
    assert await sweep(pool) == Swept(deleted=2, last_scanned=None)
    assert await counts(pool) == {}


async def test_what_is_young_or_open_stays(pool: Pool) -> None:
    await submitted_ids(pool)
    await claimed(pool)
    await succeeded(pool)
    assert (await sweep(pool, age_s=HOUR_S)).deleted == 0
    assert (await sweep(pool)).deleted == 1
    assert await counts(pool) == {"tasks": 2}


async def test_a_dead_task_stays_while_its_dead_letter_is_open(pool: Pool) -> None:
    kept, replayed = await dead(pool), await dead(pool)
    await replay_dead_letters(pool, {replayed: uuid7()})
    assert (await sweep(pool)).deleted == 1
    left = {row["id"]: row["replay_of"] for row in await pool.fetch("select * from tasks")}
    assert kept in left
    assert set(left.values()) == {None, replayed}
    assert await counts(pool) == {"tasks": 2, "attempt_failures": 1, "dead_letters": 1}


async def test_a_replay_and_retention_at_once_lose_nothing(pool: Pool) -> None:
    ids = [await dead(pool) for _ in range(10)]
    replays = [replay_dead_letters(pool, {each: uuid7()}) for each in ids]
    await asyncio.gather(*replays, *(sweep(pool) for _ in range(5)))
    assert await pool.fetchval("select count(*) from tasks where replay_of is not null") == 10
    await sweep(pool)
    assert await pool.fetchval("select count(*) from tasks where replay_of is null") == 0


async def test_the_walk_goes_window_by_window(pool: Pool) -> None:
    ids = await succeeded(pool, 7)
    answers = []
    after: UUID | None = LOWEST
    while after is not None:
        answers.append(await sweep(pool, after=after, window=3))
        after = answers[-1].last_scanned
    assert [answer.deleted for answer in answers] == [3, 3, 1]
    assert [answer.last_scanned for answer in answers] == [ids[2], ids[5], None]


async def test_only_ids_below_the_bound_are_looked_at(pool: Pool) -> None:
    ids = await succeeded(pool, 4)
    assert (await sweep(pool, before=ids[2])).deleted == 2


async def test_several_at_once_delete_each_once(pool: Pool) -> None:
    await succeeded(pool, 250)
    answers = await asyncio.gather(*(sweep(pool) for _ in range(4)))
    assert sum(answer.deleted for answer in answers) == 250


async def test_resolved_letters_without_a_task_go(pool: Pool) -> None:
    gone, still_open = some_ids(2)
    for stranger in (gone, still_open):
        await bury_rowless(pool, stranger)
    with_task = await dead(pool)
    await purge_dead_letters(pool, [gone, with_task])
    young = await delete_resolved_rowless(pool, after=LOWEST, window=10, age_s=HOUR_S)
    assert young.deleted == 0
    swept = await delete_resolved_rowless(pool, after=LOWEST, window=10, age_s=0)
    assert swept == Swept(deleted=1, last_scanned=None)
    left = await pool.fetch("select task_id from dead_letters")
    assert {row["task_id"] for row in left} == {still_open, with_task}


async def test_expired_keys_go_oldest_first_a_batch_at_a_time(pool: Pool) -> None:
    await submit(pool, *(keyed_task(f"old {number}") for number in range(5)), ttl_s=-1.0)
    await submit(pool, keyed_task("young"))
    assert [await delete_expired_keys(pool, limit=3) for _ in range(3)] == [3, 2, 0]
    assert await pool.fetchval("select string_agg(key, ',') from idempotency_keys") == "young"


async def test_keys_taken_over_while_others_are_swept_are_kept_idm10(pool: Pool) -> None:
    for round_ in range(5):
        tasks = [keyed_task(f"{round_} {number}") for number in range(20)]
        await submit(pool, *tasks, ttl_s=-1.0)
        again = [keyed_task(f"{round_} {number}") for number in range(20)]
        await asyncio.gather(
            submit(pool, *again),
            *(delete_expired_keys(pool, limit=7) for _ in range(4)),
        )
        kept = await pool.fetch("select task_id from idempotency_keys where expires_at > now()")
        assert {row["task_id"] for row in kept} >= {task.id for task in again}
