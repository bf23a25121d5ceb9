"""How often a task is tried is the platform's own count, whatever the broker counts or forgets."""

from __future__ import annotations

import asyncio

from task_lab.runtime.servers import NativeServers, started
from task_platform.broker import client, topology
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import announce, running_relay, running_worker, submit, until_messages, until_state
from ..storage.steps import failures_of

DELIVERY_LIMIT = 5
TIMES = 20


async def handed_back(settings: Settings) -> int:
    """How often a stranger got the one message and handed it back before it was gone, if it was."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        for times in range(TIMES):
            message = await channel.basic_get(topology.TASKS)
            if message.delivery is None or message.delivery_tag is None:
                return times
            await channel.basic_nack(message.delivery_tag, requeue=True)
    return TIMES


async def test_a_message_that_is_handed_back_again_and_again_ends_by_our_own_count_br11(
    settings: Settings, pool: Pool, servers: NativeServers, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type})
    vhost = settings.amqp_url.get_secret_value().rpartition("/")[2]
    limit = f'{{"delivery-limit":{DELIVERY_LIMIT}}}'
    await asyncio.to_thread(
        started(servers.rabbitmq).ctl,
        *("set_policy", "--vhost", vhost, "--apply-to", "queues", "limit", "^tasks$", limit),
    )
    ids = await submit(pool, grace_s=3_600, task_type="fail", payload={}, max_retries=4)
    await announce(settings, ids)
    await pool.execute("delete from outbox")
    times = await handed_back(settings)
    # A broker with such a limit drops the message on the way; only quorum queues count at all.
    assert times == (DELIVERY_LIMIT + 1 if queue_type == "quorum" else TIMES)
    async with running_relay(settings, pool), running_worker(settings, pool):
        (row,) = await until_state(pool, ids, "FAILED", within_s=30)
        assert row["attempts"] == 5
        failures = await failures_of(pool, ids[0])
        assert [failure["attempt"] for failure in failures] == [1, 2, 3, 4, 5]
        await until_messages(settings, 1, queue=topology.DEAD_LETTERS)
        await until_messages(settings, 0)
