"""Things break, and every accepted task still ends as it should."""

from __future__ import annotations

import asyncio
from time import monotonic

import aiormq
import httpx
import pytest

from .conftest import Platform

pytestmark = pytest.mark.slow


async def test_killing_a_worker_loses_nothing(platform: Platform) -> None:
    ids = await platform.submit(2_000, "sleep", {"seconds": 0.02})
    async with asyncio.timeout(30):
        while not await platform.rows("select 1 from tasks where state = 'SUCCEEDED' limit 1"):
            await asyncio.sleep(0.02)
    platform.runtime.kill_worker(platform.runtime.replicas()[0])
    assert await platform.until_terminal(ids, within_s=60) == {"SUCCEEDED": 2_000}
    rows = await platform.rows("select max(attempts) as most, count(*) from claims, tasks")
    assert rows[0]["count"] == 0, "every claim is closed"
    platform.runtime.scale(3)


async def test_submissions_survive_a_broker_that_is_down(platform: Platform) -> None:
    platform.runtime.stop_broker()
    try:
        async with httpx.AsyncClient(base_url=platform.endpoints.api_url) as client:

            async def submit(number: int) -> tuple[int, float, str]:
                started = monotonic()
                answer = await client.post(
                    "/tasks", json={"task_type": "sum", "payload": {"numbers": [number, 1]}}
                )
                return answer.status_code, monotonic() - started, answer.json()["id"]

            answers = await asyncio.gather(*(submit(number) for number in range(50)))
    finally:
        platform.runtime.start_broker()
    assert {status for status, _, _ in answers} == {201}
    assert max(seconds for _, seconds, _ in answers) < 2
    ids = [task_id for _, _, task_id in answers]
    assert await platform.until_terminal(ids, within_s=45) == {"SUCCEEDED": 50}


async def test_a_purged_queue_loses_nothing(platform: Platform) -> None:
    platform.runtime.scale(0)
    ids = await platform.submit(1_000, "sum", {"numbers": [1]})
    await platform.until_outbox_empty(within_s=15)
    assert await platform.queue_ready("tasks") == 1_000
    async with aiormq.connect(platform.endpoints.amqp_url) as connection:
        await (await connection.channel()).queue_purge("tasks")
    assert await platform.queue_ready("tasks") == 0
    platform.runtime.scale(3)
    assert await platform.until_terminal(ids, within_s=45) == {"SUCCEEDED": 1_000}


async def test_scaling_down_gives_work_back_uncharged(platform: Platform) -> None:
    """Draining workers finish what runs and return the rest: no task pays an attempt for it."""
    ids = await platform.submit(300, "sleep", {"seconds": 0.2}, max_retries=0)
    async with asyncio.timeout(30):
        while not await platform.rows("select 1 from tasks where state = 'PROCESSING' limit 1"):
            await asyncio.sleep(0.02)
    platform.runtime.scale(1)
    assert await platform.until_terminal(ids, within_s=60) == {"SUCCEEDED": 300}
    (row,) = await platform.rows(
        "select max(attempts) as attempts from tasks where id = any($1::text[]::uuid[])", ids
    )
    assert row["attempts"] == 1
    platform.runtime.scale(3)
