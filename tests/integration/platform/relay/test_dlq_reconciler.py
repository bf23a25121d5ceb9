"""The dead letter queue agrees with the list of the dead, whatever happened to either."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

import pytest
from task_platform import wire
from task_platform.broker import client
from task_platform.broker.publisher import Publisher
from task_platform.errors import BrokerUnavailable
from task_platform.metrics import RelayMetrics
from task_platform.relay import dlq_reconciler
from task_platform.relay.dlq_reconciler import DeadLetterReconciler
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage import locks
from task_platform.storage.pool import Pool

from ....factories import some_ids
from ..processes import (
    delete_queue,
    messages_in,
    running_relay,
    sample,
    send,
    until,
    until_messages,
    until_sample,
)
from .dead import QUEUE, dead, impatient, purge_queue, resolve, taken_from


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return impatient(settings, monkeypatch)


@pytest.fixture
async def service(settings: Settings) -> Service:
    return Service("relay", settings)


@pytest.fixture
async def reconciler(service: Service, pool: Pool) -> AsyncIterator[DeadLetterReconciler]:
    """One that has had its first look, at an empty list and an empty queue."""
    made = DeadLetterReconciler(service, pool, RelayMetrics(service.registry))
    await made.look()
    yield made
    await made.close()


def repairs(service: Service) -> dict[str, float]:
    """What was mended so far, by kind."""
    name = "relay_dead_letter_repairs_total"
    kinds = ("published", "removed", "unreadable")
    return {kind: done for kind in kinds if (done := sample(service, name, action=kind))}


async def looks(reconciler: DeadLetterReconciler, count: int) -> None:
    for _ in range(count):
        await reconciler.look()


async def announce(settings: Settings, *ids: UUID) -> None:
    await send(settings, *map(wire.encode_message, ids), queue=QUEUE)


async def queued(settings: Settings, pool: Pool, count: int, *, strangers: int = 0) -> list[UUID]:
    """So many dead letters, in the list and in the queue; strangers: in the queue alone."""
    ids = await dead(pool, count)
    await announce(settings, *ids, *some_ids(strangers))
    await until_messages(settings, count + strangers, queue=QUEUE)
    return ids


async def test_a_purged_queue_is_filled_again_rt10(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    ids = await queued(settings, pool, 5)
    await looks(reconciler, 3)
    assert repairs(service) == {}
    await purge_queue(settings)
    await looks(reconciler, 2)
    assert repairs(service) == {"published": 5}
    assert await taken_from(settings) == Counter(ids)


async def test_one_look_is_not_enough(
    reconciler: DeadLetterReconciler, service: Service, pool: Pool
) -> None:
    await dead(pool, 1)
    await looks(reconciler, 1)
    assert repairs(service) == {}


async def test_what_does_not_belong_there_is_dropped(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    here, twice, resolved = await dead(pool, 3)
    await resolve(pool, [resolved])
    (stranger,) = some_ids(1)
    await announce(settings, here, twice, resolved, stranger, twice, twice)
    await send(settings, b"not ours", b'{"v":9,"id":"x"}', queue=QUEUE)
    await until_messages(settings, 8, queue=QUEUE)
    await looks(reconciler, 2)
    assert repairs(service) == {"removed": 4, "unreadable": 2}
    assert await taken_from(settings) == Counter([here, twice])


async def test_the_order_stays(
    reconciler: DeadLetterReconciler,
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlq_reconciler, "PIPELINE", 3)
    ids = await queued(settings, pool, 10, strangers=1)
    await looks(reconciler, 2)
    assert list(await taken_from(settings)) == ids


async def test_messages_on_their_way_are_waited_for_but_not_for_ever(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    lost = await dead(pool, 2)
    await dead(pool, 3, announced=True)
    await looks(reconciler, 4)
    assert repairs(service) == {}
    await looks(reconciler, 1)
    assert repairs(service) == {"published": 2}
    assert await taken_from(settings) == Counter(lost), "what the outbox holds is sent from there"


async def test_the_first_look_finds_different_lists_of_one_length(
    service: Service, settings: Settings, pool: Pool
) -> None:
    ids = await dead(pool, 3)
    await announce(settings, *some_ids(3))
    await until_messages(settings, 3, queue=QUEUE)
    made = DeadLetterReconciler(service, pool, RelayMetrics(service.registry))
    await made.look()
    assert repairs(service) == {"published": 3, "removed": 3}
    await made.close()
    assert await taken_from(settings) == Counter(ids)


async def test_a_consumer_is_left_alone(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    ids = await queued(settings, pool, 3)
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        got = asyncio.Queue[object]()
        await channel.basic_consume(QUEUE, got.put)
        for _ in ids:
            await got.get()
        await looks(reconciler, 9)
        assert repairs(service) == {}
    await until_messages(settings, 3, queue=QUEUE)


async def test_whoever_does_not_get_the_lock_leaves_it_to_the_other(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    await dead(pool, 2)
    async with locks.held_lock(pool, locks.DEAD_LETTERS):
        await looks(reconciler, 5)
    assert repairs(service) == {}
    await looks(reconciler, 2)
    assert repairs(service) == {"published": 2}


async def test_a_pass_that_dies_in_the_middle_loses_nothing(
    reconciler: DeadLetterReconciler,
    service: Service,
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlq_reconciler, "PIPELINE", 4)
    ids = await queued(settings, pool, 20, strangers=1)
    publish, calls = Publisher.publish, 0

    async def dies_at_the_third(self: Publisher, queue: str, batch: list[UUID]) -> set[UUID]:
        nonlocal calls
        calls += 1
        done = await publish(self, queue, batch)
        # The messages are out, and their originals are still to be acknowledged.
        return set() if calls == 3 else done

    monkeypatch.setattr(Publisher, "publish", dies_at_the_third)
    await looks(reconciler, 1)
    with pytest.raises(BrokerUnavailable):
        await reconciler.look()
    await until_messages(settings, 21 + 4, queue=QUEUE)
    await looks(reconciler, 2)
    assert repairs(service) == {"removed": 1 + 4}
    assert await taken_from(settings) == Counter(ids)


async def test_a_purge_in_the_middle_is_made_good(
    reconciler: DeadLetterReconciler,
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlq_reconciler, "PIPELINE", 4)
    ids = await queued(settings, pool, 20, strangers=1)
    turn_over, calls = DeadLetterReconciler._turn_over, 0

    async def with_a_purge(self: DeadLetterReconciler, *args: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            await purge_queue(settings)
        return await turn_over(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(DeadLetterReconciler, "_turn_over", with_a_purge)
    await looks(reconciler, 4)
    assert await taken_from(settings) == Counter(ids)


async def test_passes_in_vain_are_made_less_and_less_often(
    reconciler: DeadLetterReconciler,
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A tenth of a second's pass is followed by a pause of a thousand seconds.
    monkeypatch.setattr(dlq_reconciler, "_PAUSE", 1e6)
    await dead(pool, 2)
    await looks(reconciler, 2)
    await until_messages(settings, 2, queue=QUEUE)
    await purge_queue(settings)
    await looks(reconciler, 9)
    assert await messages_in(settings, QUEUE) == 0
    monkeypatch.setattr(reconciler, "_not_before", 0.0)
    await looks(reconciler, 2)
    assert await messages_in(settings, QUEUE) == 2


async def test_a_relay_told_to_stop_stops_in_the_middle(
    reconciler: DeadLetterReconciler, service: Service, settings: Settings, pool: Pool
) -> None:
    await queued(settings, pool, 5, strangers=1)
    service.stopping.set()
    await looks(reconciler, 2)
    assert repairs(service) == {}
    assert await messages_in(settings, QUEUE) == 6


async def test_a_deleted_queue_is_declared_and_filled_again_rt10(
    settings: Settings, pool: Pool
) -> None:
    ids = await dead(pool, 4, announced=True)
    await send(settings)
    async with running_relay(settings, pool) as relay:
        # Deleted any sooner, the outbox itself would still send them once more.
        await until_sample(relay, "relay_announced_total", 4)
        await delete_queue(settings, QUEUE)
        # By the first look, if that had them in hand at this moment, or by a later one.
        await until_messages(settings, 4, queue=QUEUE)
        await until_sample(relay, "relay_dead_letters_open", 4)
        await until_sample(relay, "relay_dead_letter_queue_depth", 4)
    assert await taken_from(settings) == Counter(ids)


async def test_three_relays_mend_it_once(settings: Settings, pool: Pool) -> None:
    ids = await dead(pool, 700)
    await send(settings)
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(running_relay(settings, pool)) for _ in range(3)]

        async def have_published(count: int) -> bool:
            return sum(repairs(relay).get("published", 0) for relay in relays) >= count

        await until(partial(have_published, 700))
        await purge_queue(settings)
        await until_messages(settings, 700, queue=QUEUE)
        for relay in relays:
            await until_sample(relay, "relay_dead_letter_queue_depth", 700)
    # Fewer, when the first look of one of them had messages in hand during the purge.
    assert sum(repairs(relay).get("published", 0) for relay in relays) <= 1_400
    assert {kind for relay in relays for kind in repairs(relay)} == {"published"}
    assert await taken_from(settings) == Counter(ids)
