"""Scaling while there is work: new replicas take part at once, leaving ones lose nothing."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from .conftest import Platform

TASKS, SECONDS, SLOTS = 100, 1.5, 4
SETTINGS = {"TASK_PLATFORM_WORKER_CONCURRENCY": str(SLOTS)}


@pytest.mark.slow
async def test_new_replicas_start_what_the_first_one_held_after_a_burst_wk13(
    platform: Platform,
) -> None:
    platform.runtime.scale(1)
    burst = await platform.submit(4_000, "sum", {"numbers": [1]})
    await platform.until_terminal(burst, within_s=60)
    slow = await platform.submit(TASKS, "sleep", {"seconds": SECONDS})
    began = monotonic()
    await platform.until_outbox_empty(within_s=15)

    async def owners() -> int:
        rows = await platform.rows("select count(distinct owner) as owners from claims")
        owners: int = rows[0]["owners"]
        return owners

    # It returns when the new ones have been scraped; they are at work long before.
    scaling = asyncio.create_task(asyncio.to_thread(platform.runtime.scale, 5))
    async with asyncio.timeout(30):
        while await owners() < 5:
            await asyncio.sleep(0.1)
    joined_s = monotonic() - began
    assert await platform.until_terminal(slow, within_s=60) == {"SUCCEEDED": TASKS}
    took_s = monotonic() - began
    await scaling
    alone_s = TASKS * SECONDS / SLOTS
    # A fifth of what was left when they joined, and much patience for a busy machine.
    assert took_s - joined_s < 0.6 * (alone_s - joined_s), (joined_s, took_s, alone_s)
    rows = await platform.rows(
        "select max(attempts) as attempts from tasks where id = any($1::text[]::uuid[])", slow
    )
    assert rows[0]["attempts"] == 1


@pytest.mark.slow
async def test_scaling_down_in_the_middle_repeats_no_effect_wk14(platform: Platform) -> None:
    platform.runtime.scale(5)
    ids = await platform.submit(200, "effect", {"seconds": 0.2, "via": "once"}, max_retries=0)
    async with asyncio.timeout(30):
        while not await platform.rows("select 1 from effect_log where kind = 'guarded' limit 1"):
            await asyncio.sleep(0.02)
    platform.runtime.scale(1)
    assert await platform.until_terminal(ids, within_s=90) == {"SUCCEEDED": 200}
    effects = await platform.rows(
        "select count(*) as count from effect_log where kind = 'guarded'"
        " and task_id = any($1::text[]::uuid[]) group by task_id",
        ids,
    )
    assert [row["count"] for row in effects] == [1] * 200
    rows = await platform.rows(
        "select max(attempts) as attempts from tasks where id = any($1::text[]::uuid[])", ids
    )
    assert rows[0]["attempts"] == 1
