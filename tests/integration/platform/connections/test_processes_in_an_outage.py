"""Real processes whose servers are away: readiness tells the truth, and the log stays short."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import httpx
import pytest
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....link import linked_broker, linked_database
from ..processes import announce, submit, until_state
from .whole import process

# Conditions that each process waits for without the broker, and without the database too.
WITHOUT_BROKER = {"api": [], "worker": ["consuming"], "relay": ["broker"]}
# What begins and what is over: the database, and for the relay its publisher and its other passes.
MOST_LINES = {"api": 4, "worker": 5, "relay": 8}


@pytest.mark.parametrize("command", ["api", "worker", "relay"])
async def test_readiness_follows_and_the_log_stays_short_br01_db01(
    settings: Settings, pool: Pool, command: str
) -> None:
    await _outage(settings, pool, command, silent=False, for_s=2, most_lines=MOST_LINES[command])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "worker"])
async def test_readiness_follows_a_database_that_is_silent_db01(
    settings: Settings, pool: Pool, command: str
) -> None:
    await _outage(settings, pool, command, silent=True, for_s=4, most_lines=MOST_LINES[command])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "worker", "relay"])
async def test_a_long_outage_is_a_few_lines_a_minute(
    settings: Settings, pool: Pool, command: str
) -> None:
    await _outage(settings, pool, command, silent=False, for_s=65, most_lines=16)


async def _outage(
    settings: Settings, pool: Pool, command: str, *, silent: bool, for_s: float, most_lines: int
) -> None:
    async with (
        linked_database(settings) as (database, over),
        linked_broker(over) as (broker, over),
        httpx.AsyncClient() as client,
    ):
        ids = await submit(pool, 5, grace_s=0, task_type="sleep", payload={"seconds": 5})
        await announce(settings, ids)
        async with process(over, command, LEASES_S="hush-hush") as running:
            await running.until_ready()
            if command == "worker":
                await until_state(pool, ids, "PROCESSING")
            said = len(running.said)
            await broker.cut()
            if WITHOUT_BROKER[command]:
                await running.until_waiting_for(*WITHOUT_BROKER[command])
            else:
                # Submissions are safe in the outbox.
                assert (await running.ready_status())[0] == 200
                assert await _post(client, running.url) == 201
            if silent:
                database.freeze()
            else:
                await database.cut()
            await running.until_waiting_for("database", *WITHOUT_BROKER[command])
            if command == "api":
                answers = await asyncio.gather(*(_post(client, running.url) for _ in range(50)))
                assert set(answers) == {503}
            # How much is said in a span of time is what this is about.
            await asyncio.sleep(for_s)
            await broker.heal()
            await database.heal()
            await running.until_ready(within_s=45)
            if command == "worker":
                await until_state(pool, ids, "SUCCEEDED", within_s=30)
    told = [
        line
        for line in running.said[said:]
        if line["event"] not in ("consuming", "draining", "stopped")
    ]
    assert len(told) <= most_lines, told
    begun = [line for line in told if line["event"] == "the database does not answer"]
    (over_line,) = [x for x in told if x["event"] == "over: the database does not answer"]
    assert over_line["lasted_s"] >= for_s
    assert begun[0]["complaints"] == 1
    assert begun[0]["level"] == "warning"
    everything = json.dumps(running.said)
    for secret in (
        urlsplit(over.database_url.get_secret_value()).password,
        urlsplit(over.amqp_url.get_secret_value()).password,
        "hush-hush",
        "client-text",
    ):
        assert secret
        assert secret not in everything
    (unknown,) = [x for x in running.said if x["event"] == "unknown variable is ignored"]
    assert unknown["variable"] == "TASK_PLATFORM_LEASES_S"
    assert unknown["nearest"] == "TASK_PLATFORM_LEASE_S"


async def _post(client: httpx.AsyncClient, url: str) -> int:
    body = {"task_type": "client-text", "payload": {"text": "client-text"}}
    return (await client.post(f"{url}/tasks", json=body, timeout=30)).status_code
