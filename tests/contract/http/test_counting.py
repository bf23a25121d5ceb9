"""Several API processes count what they did themselves; together they tell the whole."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ...integration.platform.exposed import scraped
from .wire import api_processes

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2]}}
REQUESTS, SCRAPES = 400, 20
ACCEPTED = "api_tasks_accepted_total"


@pytest.fixture
def settings(database_url: str, amqp_url: str) -> Settings:
    """A database and a vhost of this test's own: what is in them can be counted."""
    return Settings(database_url=database_url, amqp_url=amqp_url)


async def test_the_sum_over_four_processes_is_exact_and_never_falls_obs01(
    servers: NativeServers, settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    with api_processes(servers, settings, 4, tmp_path) as processes:
        urls = [process.url for process in processes]
        async with httpx.AsyncClient(timeout=30) as client:

            async def counts() -> list[float]:
                scrapes = await asyncio.gather(*(scraped(client, url) for url in urls))
                return [scrape.sum(ACCEPTED, outcome="created") for scrape in scrapes]

            async def submit(numbers: range) -> None:
                for number in numbers:
                    answer = await client.post(f"{urls[number % 4]}/tasks", json=SUM)
                    assert answer.status_code == 201

            seen = [await counts()]
            assert seen == [[0, 0, 0, 0]]
            lanes = [range(lane, REQUESTS, SCRAPES) for lane in range(SCRAPES)]
            submitting = asyncio.gather(*(submit(lane) for lane in lanes))
            for _ in range(SCRAPES):
                await asyncio.sleep(0.02)
                seen.append(await counts())
            await submitting
            seen.append(await counts())
    for earlier, later in pairwise(seen):
        assert all(before <= after for before, after in zip(earlier, later, strict=True))
    assert seen[-1] == [REQUESTS / 4] * 4
    assert await pool.fetchval("select count(*) from tasks") == REQUESTS
