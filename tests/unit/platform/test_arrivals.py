"""What a consumer remembers of arrivals: bounded, and true of the oldest one."""

from __future__ import annotations

from uuid import uuid4

from task_platform import wire
from task_platform.metrics import WorkerMetrics, new_registry
from task_platform.settings import Settings
from task_platform.worker.consumer import Consumer

from .broker.server import opened


async def test_one_long_task_does_not_make_the_worker_remember_all_that_came_behind_it() -> None:
    _, channel = await opened()
    prefetch = 10
    consumer = Consumer(
        Settings(),
        WorkerMetrics(new_registry(), {"sum"}),
        worker="w",
        prefetch=prefetch,
        on_change=lambda _: None,
    )
    consumer._channel = channel
    body = wire.encode_message(uuid4())
    for tag in range(1, 2_000):
        consumer._receive([(tag, body)], 0)
        await consumer.acknowledge([one for one in consumer.take(1) if one.tag > 1])
    assert len(consumer._arrivals) <= 2 * prefetch
    assert consumer._arrivals[0][0] == 1
    await consumer.acknowledge([])
    assert consumer._oldest_age_s() > 0
