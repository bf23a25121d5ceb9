"""A dead letter queue that takes nothing: the list has it all the same, and tasks go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.broker import topology
from task_platform.settings import Settings
from task_platform.storage import dead_letters
from task_platform.storage.dead_letters import show_dead_letter
from task_platform.storage.pool import Pool

from ..processes import (
    delete_queue,
    running_relay,
    running_worker,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_state,
)
from .dead import QUEUE, impatient, taken_from


@pytest.fixture
def settings(settings: Settings, queue_type: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return impatient(settings.model_copy(update={"queue_type": queue_type}), monkeypatch)


@asynccontextmanager
async def limited(
    servers: NativeServers, settings: Settings, queue: str, length: int
) -> AsyncIterator[None]:
    """For the time of the block the queue refuses what exceeds its length."""
    assert servers.rabbitmq
    vhost = urlsplit(settings.amqp_url.get_secret_value()).path[1:]
    pattern = f"^{queue.replace('.', '[.]')}$"
    definition = f'{{"max-length":{length},"overflow":"reject-publish"}}'
    servers.rabbitmq.ctl("set_policy", "-p", vhost, "full", pattern, definition)
    try:
        yield
    finally:
        servers.rabbitmq.ctl("clear_policy", "-p", vhost, "full")


async def test_a_full_dead_letter_queue_gets_them_later_and_holds_nothing_back_rt10(
    settings: Settings, pool: Pool, servers: NativeServers
) -> None:
    await send(settings)
    async with running_relay(settings, pool) as relay, running_worker(settings, pool):
        async with limited(servers, settings, QUEUE, 2):
            ids = await submit(pool, 6, task_type="fail", max_retries=0)
            await until_state(pool, ids, "FAILED")

            async def is_full() -> bool:
                return sample(relay, "relay_dead_letter_queue_depth") >= 2

            await until(is_full)
            assert await dead_letters.count_open(pool) == (6, True)
            waiting = [await show_dead_letter(pool, task_id) for task_id in ids]
            assert any(detail and detail.is_unannounced for detail in waiting)
            for _ in range(3):
                good = await submit(pool, 5)
                await until_state(pool, good, "SUCCEEDED", within_s=5)
            assert await dead_letters.count_open(pool) == (6, True), "still pending, not lost"

        await until_messages(settings, 6, queue=QUEUE, within_s=15)

        async def is_settled() -> bool:
            return await dead_letters.count_open(pool) == (6, False)

        await until(is_settled)
    assert await taken_from(settings) == Counter(ids)


async def test_tasks_that_die_while_their_queue_is_gone_are_in_it_later_rt10(
    settings: Settings, pool: Pool
) -> None:
    await send(settings)
    async with running_relay(settings, pool), running_worker(settings, pool):
        await delete_queue(settings, QUEUE)
        ids = await submit(pool, 3, task_type="fail", max_retries=0)
        await until_state(pool, ids, "FAILED")

        async def is_settled() -> bool:
            return await dead_letters.count_open(pool) == (3, False)

        await until(is_settled)
        await until_messages(settings, 3, queue=QUEUE)
    assert await taken_from(settings) == Counter(ids)


async def test_what_is_refused_is_not_taken_for_sent_ob04(
    settings: Settings, pool: Pool, servers: NativeServers
) -> None:
    await send(settings)
    async with running_relay(settings, pool) as relay:
        async with limited(servers, settings, topology.TASKS, 3):
            ids: list[UUID] = []

            async def is_stuck() -> bool:
                # A quorum queue begins to refuse a little after its limit.
                ids.extend(await submit(pool, 5))
                return sample(relay, "relay_outbox_oldest_age_seconds") > 0.5

            await until(is_stuck)
            assert await pool.fetchval("select count(*) from outbox")

        async def is_empty() -> bool:
            return not await pool.fetchval("select count(*) from outbox")

        await until(is_empty, within_s=15)
    assert set(await taken_from(settings, topology.TASKS)) == set(ids)


async def test_what_comes_back_is_not_taken_for_sent_ob04(settings: Settings, pool: Pool) -> None:
    await send(settings)
    async with running_relay(settings, pool):
        await submit(pool, 1)
        await until_messages(settings, 1)
        await delete_queue(settings)
        # The publisher has its channel, and no queue behind it.
        second = await submit(pool, 5)

        async def is_empty() -> bool:
            return not await pool.fetchval("select count(*) from outbox")

        await until(is_empty)
        await until_messages(settings, 5)
    assert set(await taken_from(settings, topology.TASKS)) == set(second)
