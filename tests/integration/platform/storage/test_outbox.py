"""The outbox: rows are taken for a while, shrink, and go when everything is confirmed."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.storage.outbox import (
    OutboxRow,
    claim_outbox_rows,
    oldest_unsent_age_s,
    settle_outbox_rows,
)
from task_platform.storage.pool import Pool
from task_platform.storage.queries import sql

from ....factories import some_ids
from .steps import outbox


async def add(pool: Pool, count: int, *, due_in_s: float = 0.0, ids: int = 1) -> list[OutboxRow]:
    """So many rows, due in so many seconds (or overdue)."""
    rows = [
        await pool.fetchrow(
            "insert into outbox (queue, task_ids, due_at, available_at) select 'tasks', $1, at, at "
            "from (select now() + $2 * interval '1 second' as at) t returning id, task_ids",
            some_ids(ids),
            due_in_s,
        )
        for _ in range(count)
    ]
    return [OutboxRow(row["id"], "tasks", tuple(row["task_ids"])) for row in rows if row]


async def test_due_rows_are_taken_oldest_first_and_hidden(pool: Pool) -> None:
    (late,) = await add(pool, 1, due_in_s=-1)
    (later,) = await add(pool, 1, due_in_s=-5)
    await add(pool, 1, due_in_s=60)
    (first,) = await claim_outbox_rows(pool, queue="tasks", limit=1, hide_s=60)
    assert first == later
    assert await claim_outbox_rows(pool, queue="tasks", limit=10, hide_s=60) == [late]
    assert await claim_outbox_rows(pool, queue="tasks", limit=10, hide_s=60) == []
    assert len(await outbox(pool)) == 3


async def test_a_row_reappears_when_its_relay_dies(pool: Pool) -> None:
    rows = await add(pool, 1)
    assert await claim_outbox_rows(pool, queue="tasks", limit=1, hide_s=0.05) == rows
    async with asyncio.timeout(5):
        while await claim_outbox_rows(pool, queue="tasks", limit=1, hide_s=60) != rows:
            await asyncio.sleep(0.01)


async def test_relays_side_by_side_take_disjoint_rows(pool: Pool) -> None:
    rows = await add(pool, 60)
    taken = await asyncio.gather(
        *(claim_outbox_rows(pool, queue="tasks", limit=10, hide_s=60) for _ in range(8))
    )
    ids = [row.id for batch in taken for row in batch]
    assert len(ids) == len(set(ids)) == 60
    assert set(ids) == {row.id for row in rows}


async def test_a_row_goes_when_all_is_confirmed_shrinks_when_some_is_and_stays(pool: Pool) -> None:
    done, some, none = await add(pool, 3, ids=3)
    confirmed = {*done.task_ids, *some.task_ids[:2]}
    left = await settle_outbox_rows(pool, [done, some, none], confirmed, retry_in_s=60)
    assert left == 4
    shrunk, untouched = await outbox(pool)
    assert (shrunk["id"], tuple(shrunk["task_ids"])) == (some.id, some.task_ids[2:])
    assert (untouched["id"], tuple(untouched["task_ids"])) == (none.id, none.task_ids)
    assert not shrunk["is_due"]
    assert not untouched["is_due"]


async def test_a_row_that_somebody_else_settled_stays_settled(pool: Pool) -> None:
    (row,) = await add(pool, 1, ids=2)
    await settle_outbox_rows(pool, [row], set(row.task_ids), retry_in_s=1)
    for confirmed in (set(), {row.task_ids[0]}, set(row.task_ids)):
        await settle_outbox_rows(pool, [row], confirmed, retry_in_s=0)
        assert await outbox(pool) == []


async def test_the_oldest_age_is_that_of_the_longest_due(pool: Pool) -> None:
    assert await oldest_unsent_age_s(pool) == 0
    await add(pool, 1, due_in_s=60)
    assert await oldest_unsent_age_s(pool) == 0
    await add(pool, 1, due_in_s=-5)
    await add(pool, 1, due_in_s=-50)
    await claim_outbox_rows(pool, queue="tasks", limit=10, hide_s=60)
    assert await oldest_unsent_age_s(pool) == pytest.approx(50, abs=5)


async def test_the_oldest_age_is_found_without_looking_at_all_that_waits(pool: Pool) -> None:
    await pool.execute(
        "insert into outbox (queue, task_ids, due_at, available_at) "
        "select 'tasks', array[gen_random_uuid()], later, later "
        "from (select now() + n * interval '1 second' as later from generate_series(1, 20000) n) t"
    )
    await add(pool, 1, due_in_s=-50)
    await pool.execute("analyze outbox")
    explained = await pool.fetch("explain analyze " + sql("oldest_unsent_age"))
    plan = "\n".join(line["QUERY PLAN"] for line in explained)
    # By an index scan or a bitmap of it: either looks only at what is due.
    assert "outbox_due_at" in plan and "Seq Scan" not in plan, plan
    assert await oldest_unsent_age_s(pool) == pytest.approx(50, abs=5)
