"""A queue that vanishes, or a consumer that the broker drops: both are noticed and made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from task_lab.runtime.rabbitmq import RabbitMQ
from task_lab.runtime.servers import NativeServers, started
from task_platform.broker import client, topology
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.worker import consumer

from ..processes import (
    delete_queue,
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
from .whole import running_whole


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "WATCH_EVERY_S", 0.1)
    monkeypatch.setattr(consumer, "PROBE_AFTER_S", 0.3)


@pytest.mark.usefixtures("attentive")
async def test_every_worker_consumes_again_from_a_queue_that_was_deleted_br03_br04(
    settings: Settings, pool: Pool, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type})
    async with running_whole(settings, pool, workers=3) as whole:
        await whole.until_consumers(3)
        for _ in range(2):
            await delete_queue(settings)
            # There again at once: a consumer that is not told could believe it is still there.
            await send(settings)
            await whole.accepted(20)
            await whole.until_consumers(3)
            await whole.until_all_succeeded()
        if queue_type == "classic":
            # Of a quorum queue that is there again at once, this broker says nothing to anybody.
            for worker in whole.workers:
                assert sample(worker, "worker_consumer_lost_total", reason="cancelled") >= 1
        assert all(worker.readiness.is_ready() for worker in whole.workers)


@pytest.mark.usefixtures("attentive")
async def test_a_consumer_that_was_dropped_without_a_word_is_made_anew_br03(
    settings: Settings, pool: Pool, servers: NativeServers
) -> None:
    """One of two workers has no consumer any more, and its broker says nothing to anybody."""
    async with running_whole(settings, pool, workers=2) as whole:
        await whole.until_consumers(2)
        vhost = settings.amqp_url.get_secret_value().rpartition("/")[2]
        await asyncio.to_thread(
            started(servers.rabbitmq).ctl,
            "eval",
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"tasks">>)),'
            " [C | _] = rabbit_amqqueue:consumers(Q),"
            " Pid = element(1, C), Tag = element(2, C),"
            " ra:process_command(amqqueue:get_pid(Q), rabbit_fifo:make_checkout({Tag, Pid},"
            " cancel, #{})).",
        )
        await whole.until_consumers(2)
        await whole.accepted(10)
        await whole.until_all_succeeded()


async def test_a_task_submitted_while_there_is_no_queue_is_run_when_it_is_back_br04(
    settings: Settings, pool: Pool, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type, "outbox_grace_s": 0.5})
    async with running_whole(settings, pool, workers=0) as whole:
        await whole.accepted(1)
        await delete_queue(settings)
        await whole.accepted(20)

        async def are_announced() -> bool:
            return not await pool.fetchval("select count(*) from outbox")

        # A row goes with the confirm of its messages, not with their being sent.
        await until(are_announced, within_s=15)
        assert await messages_in(settings) >= 20
    async with running_relay(settings, pool), running_worker(settings, pool):

        async def are_done() -> bool:
            return not await pool.fetchval("select count(*) from tasks where state <> 'SUCCEEDED'")

        await until(are_done, within_s=20)


@pytest.fixture
async def impatient_broker(servers: NativeServers) -> AsyncIterator[RabbitMQ]:
    """A broker that closes a channel whose delivery is not acknowledged within 2 s.

    It looks every second; in production it does so once a minute, for half an hour or more.
    """
    rabbitmq = started(servers.rabbitmq)
    await asyncio.to_thread(
        rabbitmq.ctl,
        "eval",
        "{ok, T} = application:get_env(rabbit, consumer_timeout),"
        " application:set_env(rabbit, task_platform_consumer_timeout, T),"
        " {ok, I} = application:get_env(rabbit, channel_tick_interval),"
        " application:set_env(rabbit, task_platform_tick, I),"
        " application:set_env(rabbit, consumer_timeout, 2000),"
        " application:set_env(rabbit, channel_tick_interval, 1000).",
    )
    try:
        yield rabbitmq
    finally:
        await asyncio.to_thread(
            rabbitmq.ctl,
            "eval",
            "{ok, T} = application:get_env(rabbit, task_platform_consumer_timeout),"
            " application:set_env(rabbit, consumer_timeout, T),"
            " {ok, I} = application:get_env(rabbit, task_platform_tick),"
            " application:set_env(rabbit, channel_tick_interval, I).",
        )


@pytest.mark.usefixtures("impatient_broker")
async def test_a_task_longer_than_the_ack_timeout_runs_once_as_do_its_neighbours_br03_br10(
    settings: Settings, pool: Pool, queue_type: str
) -> None:
    """Twice the time limit and more; five neighbours wait behind it for the one slot."""
    settings = settings.model_copy(update={"queue_type": queue_type, "worker_concurrency": 1})
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        long = await submit(pool, task_type="effect", payload={"seconds": 6}, max_retries=0)
        await until_state(pool, long, "PROCESSING")
        neighbours = await submit(pool, 5, task_type="effect", payload={}, max_retries=0)
        await until_state(pool, long + neighbours, "SUCCEEDED", within_s=40)
        lost = sample(worker, "worker_consumer_lost_total", reason="ack_timeout")
        # Not once a tick: what came again was dropped, because its task was at work.
        assert 1 <= lost <= 3
        for row in await rows(pool, long + neighbours):
            assert (row["attempts"], row["fence"]) == (1, 1)
        assert await pool.fetchval("select count(*) from effect_log") == 12
        await until_sample(worker, "worker_tasks_in_flight", 0)
        # A batch whose confirm came late was sent twice: what is of no use is dropped as well.
        await until_messages(settings, 0)
    await until_messages(settings, 0)


async def test_no_queue_has_a_single_active_consumer_br13(settings: Settings) -> None:
    """One would stop for good after its consumers have timed out; any worker may take any task."""
    for queue_type in ("quorum", "classic"):
        for queue in topology.queues(queue_type):
            assert set(queue.arguments) <= {"x-queue-type"}
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        await client.declare_all(channel, settings)
        tags = [(await channel.basic_consume("tasks", _ignore)).consumer_tag for _ in range(2)]
        assert len(set(tags)) == 2
        assert (await client.queue_depth(channel, "tasks")).consumers == 2


async def _ignore(_: object) -> None:
    pass
