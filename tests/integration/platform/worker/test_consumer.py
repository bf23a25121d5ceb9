"""Consuming: it goes on by itself, and an acknowledgement only ever goes where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

import pytest
from task_platform.broker import client
from task_platform.metrics import WorkerMetrics, new_registry
from task_platform.service import cancelled
from task_platform.settings import Settings
from task_platform.worker import consumer as consumer_module
from task_platform.worker.consumer import Consumer
from task_platform.worker.work import Delivery

from ....factories import some_ids
from ....link import linked_broker
from ..processes import announce, delete_queue, send, until, until_messages


@pytest.fixture(params=["batched", "aiormq"])
def driver(request: pytest.FixtureRequest) -> Any:
    """Both promise the same."""
    return request.param


@pytest.fixture
def settings(amqp_url: str, driver: Literal["batched", "aiormq"]) -> Settings:
    """Settings without a database."""
    return Settings(amqp_url=amqp_url, broker_driver=driver)


@asynccontextmanager
async def consuming(settings: Settings, *, prefetch: int = 100) -> AsyncIterator[Consumer]:
    """A consumer from its first connection on."""
    changes: list[bool] = []
    consumer = Consumer(
        settings,
        WorkerMetrics(new_registry(), []),
        worker="test",
        prefetch=prefetch,
        on_change=changes.append,
    )
    task = asyncio.create_task(consumer.run())

    async def has_started() -> bool:
        return True in changes

    try:
        await until(has_started)
        yield consumer
    finally:
        await consumer.stop()
        await cancelled(task)
    assert changes[-1] is False


async def taken(consumer: Consumer, count: int) -> list[Delivery]:
    """So many deliveries, as they come."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(15):
        while len(deliveries) < count:
            await consumer.arrived.wait()
            deliveries += consumer.take(count - len(deliveries))
    return deliveries


def ids_of(deliveries: Sequence[Delivery]) -> list[UUID]:
    return [delivery.task_id for delivery in deliveries]


async def test_what_is_acknowledged_goes_and_the_rest_comes_back(settings: Settings) -> None:
    ids = some_ids(10)
    await announce(settings, ids)
    async with consuming(settings) as consumer:
        deliveries = await taken(consumer, 10)
        assert ids_of(deliveries) == ids
        await consumer.acknowledge([deliveries[n] for n in (5, 0, 1, 9)])
    await until_messages(settings, 6)


async def test_no_more_is_held_than_was_asked_for(settings: Settings) -> None:
    await announce(settings, some_ids(20))
    async with consuming(settings, prefetch=5) as consumer:
        held = await taken(consumer, 5)
        assert consumer.take(100) == []
        await until_messages(settings, 15)
        await consumer.acknowledge(held[:2])
        await taken(consumer, 2)
        await until_messages(settings, 13)


async def test_changing_the_prefetch_loses_nothing_br20(settings: Settings) -> None:
    ids = some_ids(400)
    sending = asyncio.create_task(announce(settings, ids))
    seen: list[UUID] = []
    async with consuming(settings, prefetch=10) as consumer:
        for prefetch in (20, 40, 10, 80, 500) * 2:
            await consumer.set_prefetch(prefetch)
            deliveries = await taken(consumer, 5)
            seen += ids_of(deliveries)
            await consumer.acknowledge(deliveries)
        rest = await taken(consumer, 350)
        seen += ids_of(rest)
        await consumer.acknowledge(rest)
    await sending
    assert sorted(seen) == sorted(ids)
    await until_messages(settings, 0)


@pytest.mark.parametrize("held", [0, 1], ids=["idle", "busy"])
async def test_a_deleted_queue_is_declared_and_consumed_again_br03(
    settings: Settings, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queue that is there again at once may not even be reported as gone: then the watchdog is
    # what notices.
    monkeypatch.setattr(consumer_module, "PROBE_AFTER_S", 0.3)
    monkeypatch.setattr(consumer_module, "WATCH_EVERY_S", 0.2)
    await announce(settings, some_ids(held))
    async with consuming(settings) as consumer:
        await taken(consumer, held)
        await delete_queue(settings)

        async def is_back() -> bool:
            # What is sent to a queue that is just going goes with it.
            await announce(settings, some_ids(1))
            return consumer.arrived.is_set()

        await until(is_back, within_s=15)
        assert await taken(consumer, 1)


async def test_a_deleted_queue_is_missed_before_the_next_message_comes_br03(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PROBE_AFTER_S", 1.0)
    async with consuming(settings):
        await delete_queue(settings)
        await send(settings)

        async def is_consumed() -> bool:
            async with client.connected(settings, name="test") as connection:
                channel = await client.open_channel(connection)
                return (await client.queue_depth(channel, "tasks")).consumers == 1

        await until(is_consumed, within_s=15)


async def test_a_delivery_of_an_older_channel_is_never_acknowledged(settings: Settings) -> None:
    async with linked_broker(settings) as (link, broken):
        await announce(settings, some_ids(3))
        async with consuming(broken) as consumer:
            old = await taken(consumer, 3)
            await link.cut()
            await consumer.acknowledge(old)
            await link.heal()
            new = await taken(consumer, 3)
            assert sorted(ids_of(new)) == sorted(ids_of(old))
            assert {delivery.generation for delivery in new}.isdisjoint(
                delivery.generation for delivery in old
            )
            await consumer.acknowledge(old)
            consumer.put_back(old[0])
            assert consumer.take(10) == []
            await consumer.acknowledge(new[:1])
    await until_messages(settings, 2)


async def test_consumers_of_a_lost_channel_are_not_taken_for_lingering_ones(
    settings: Settings,
) -> None:
    """Whoever else consumes is counted without our own former consumers; those end with a link."""
    async with linked_broker(settings) as (link, over):
        await announce(settings, some_ids(6))
        async with consuming(over, prefetch=5) as consumer:
            await taken(consumer, 5)
            await consumer.set_prefetch(10)
            await taken(consumer, 1)
            await link.cut()
            await link.heal()
            await taken(consumer, 6)

            async def is_alone() -> bool:
                depth = await consumer.depth()
                return depth is not None and depth.consumers == 1

            await until(is_alone)


async def test_a_message_that_is_not_ours_is_dropped(settings: Settings) -> None:
    (task_id,) = some_ids(1)
    await send(settings, b"junk", b'{"v":99}')
    await announce(settings, [task_id])
    async with consuming(settings) as consumer:
        (delivery,) = await taken(consumer, 1)
        assert delivery.task_id == task_id
        await consumer.acknowledge([])
    await until_messages(settings, 1)


async def test_a_delivery_put_back_is_offered_again(settings: Settings) -> None:
    await announce(settings, some_ids(1))
    async with consuming(settings) as consumer:
        (delivery,) = await taken(consumer, 1)
        consumer.put_back(delivery)
        assert await taken(consumer, 1) == [delivery]


async def test_a_broker_that_is_away_at_the_start_is_waited_for_br01(settings: Settings) -> None:
    async with linked_broker(settings) as (link, broken):
        await link.cut()
        await announce(settings, some_ids(1))

        async def heal_later() -> None:
            await asyncio.sleep(0.3)
            await link.heal()

        healing = asyncio.create_task(heal_later())
        async with consuming(broken) as consumer:
            assert await taken(consumer, 1)
        await healing
