"""Confirms that never come, or come in thousands: what is not confirmed stays and is sent again."""

from __future__ import annotations

import asyncio

from task_lab.runtime.servers import NativeServers, started
from task_platform.broker.publisher import Publisher
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....factories import some_ids
from ....link import linked_broker
from ..processes import (
    messages_in,
    rows,
    running_relay,
    running_worker,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_sample,
    until_state,
)


async def test_a_channel_that_dies_before_the_confirm_sends_again_and_the_task_runs_once_br06(
    settings: Settings, pool: Pool, servers: NativeServers, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type, "publish_timeout_s": 60})
    await send(settings)
    async with linked_broker(settings) as (link, over):
        async with running_relay(over, pool) as relay:
            (first,) = await submit(pool, task_type="effect", payload={})
            await until_messages(settings, 1)
            await until_sample(relay, "relay_announced_total", 1)
            link.mute()
            (second,) = await submit(pool, task_type="effect", payload={})
            # The broker has it and has confirmed; the relay has not heard of it.
            await until_messages(settings, 2)
            assert await pool.fetchval("select count(*) from outbox") == 1
            vhost = settings.amqp_url.get_secret_value().rpartition("/")[2]
            await asyncio.to_thread(
                started(servers.rabbitmq).ctl,
                "eval",
                "[exit(proplists:get_value(pid, I), kill) || I <-"
                " rabbit_channel:info_all([pid, vhost, confirm]),"
                f' proplists:get_value(vhost, I) =:= <<"{vhost}">>,'
                " proplists:get_value(confirm, I)].",
            )
            await link.cut()
            await link.heal()

            async def is_forgotten() -> bool:
                return not await pool.fetchval("select count(*) from outbox")

            await until(is_forgotten, within_s=30)
            assert await messages_in(settings) >= 3, "the second was sent twice"
            assert sample(relay, "relay_announced_total") == 2
        async with running_worker(settings, pool) as worker:
            await until_state(pool, [first, second], "SUCCEEDED")
            await until_sample(worker, "worker_tasks_in_flight", 0)
            assert sample(worker, "worker_deliveries_unclaimable_total") >= 1
    assert [row["fence"] for row in await rows(pool, [first, second])] == [1, 1]
    assert await pool.fetchval("select count(*) from effect_log where kind = 'guarded'") == 2
    await until_messages(settings, 0)


async def test_a_thousand_in_flight_are_all_confirmed_again_and_again_br07(
    settings: Settings, queue_type: str
) -> None:
    """Over loopback the confirm may be there before its sender waits for it."""
    settings = settings.model_copy(update={"queue_type": queue_type})
    publisher = Publisher(settings, name="test")
    async with asyncio.timeout(30):
        for _ in range(3):
            batches = [some_ids(50) for _ in range(20)]
            confirmed = await asyncio.gather(
                *(publisher.publish("tasks", batch) for batch in batches)
            )
            assert confirmed == [set(batch) for batch in batches]
    await until_messages(settings, 3_000)
    await publisher.close()
