"""A broker short of memory or disk stops publishers: consumers go on, submissions are safe."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from task_lab.runtime.rabbitmq import RabbitMQ
from task_lab.runtime.servers import NativeServers, started
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import announce, submit, until, until_sample, until_state
from .whole import running_whole

ALARMS = {
    "memory": (
        ("set_vm_memory_high_watermark", "absolute", "1MB"),
        ("set_vm_memory_high_watermark", "absolute", "1GB"),
    ),
    "disk": (("set_disk_free_limit", "500000GB"), ("set_disk_free_limit", "200MB")),
}


@pytest.mark.parametrize(
    ("alarm", "queue_type"),
    [
        ("memory", "quorum"),
        pytest.param("memory", "classic", marks=pytest.mark.slow),
        pytest.param("disk", "quorum", marks=pytest.mark.slow),
        pytest.param("disk", "classic", marks=pytest.mark.slow),
    ],
)
async def test_an_alarm_stops_neither_submissions_nor_consumers_br15(
    settings: Settings, pool: Pool, servers: NativeServers, alarm: str, queue_type: str
) -> None:
    rabbitmq: RabbitMQ = started(servers.rabbitmq)
    settings = settings.model_copy(
        update={"queue_type": queue_type, "publish_timeout_s": 1, "worker_concurrency": 2}
    )
    raise_it, clear_it = ALARMS[alarm]
    # Waiting at the broker, delivered and acknowledged during the alarm.
    waiting = await submit(pool, 30, grace_s=3_600, task_type="sleep", payload={"seconds": 0.5})
    await announce(settings, waiting)
    async with running_whole(settings, pool) as whole:
        (worker,) = whole.workers
        await whole.accepted(1)
        await asyncio.to_thread(rabbitmq.ctl, *raise_it)
        try:
            before = monotonic()
            answers = await asyncio.gather(*(whole.post() for _ in range(20)))
            assert {answer.status_code for answer in answers} == {201}
            assert monotonic() - before < 3
            await until_sample(whole.api, "broker_publisher_blocked", 1)

            async def is_not_ready() -> bool:
                return "broker" in whole.relay.readiness.waiting_for

            await until(is_not_ready, within_s=15)
            assert whole.api.readiness.is_ready()
            await until_sample(whole.relay, "broker_publisher_blocked", 1)
            await until_state(pool, waiting, "SUCCEEDED", within_s=30)
            await until_sample(worker, "worker_tasks_in_flight", 0)
            assert worker.readiness.is_ready()
            assert await pool.fetchval("select count(*) from outbox") >= 1
        finally:
            await asyncio.to_thread(rabbitmq.ctl, *clear_it)
        await whole.until_all_succeeded(within_s=45)

        async def is_ready() -> bool:
            return whole.relay.readiness.is_ready()

        await until(is_ready, within_s=45)
        for publishing in (whole.api, whole.relay):
            await until_sample(publishing, "broker_publisher_blocked", 0)
