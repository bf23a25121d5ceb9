"""What the broker says: depth and consumers of the task queue over time, and the dead letters.

Asked over AMQP (passive declares), which is exact and immediate; the broker's own metrics lag.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from task_lab.collect.loop import LoopThread

TASK_QUEUE = "tasks"
DEAD_LETTER_QUEUE = "tasks.dlq"
SAMPLE_EVERY_S = 0.25
_ANSWER_S = 2.0


class QueueSampler:
    """Writes the task queue's depth to samples.jsonl four times a second until stopped.

    While the broker is away a sample says null and a new connection is tried.
    """

    def __init__(self, loop: LoopThread, amqp_url: str, path: Path) -> None:
        # A broker that is away is what a null says; the driver would say it in every cell, too.
        logging.getLogger("aiormq").addHandler(logging.NullHandler())
        self._loop = loop
        self._future = loop.spawn(_keep_sampling(amqp_url, path))

    def stop(self) -> None:
        """Stop sampling. Raises what ended the sampling early, if anything did."""
        if not self._future.cancel():
            self._future.result()


async def _keep_sampling(amqp_url: str, path: Path) -> None:
    connection: AbstractConnection | None = None
    channel: AbstractChannel | None = None
    with path.open("a", encoding="utf-8") as file:
        try:
            while True:
                due_at = asyncio.get_running_loop().time() + SAMPLE_EVERY_S
                sample: dict[str, Any] = {"at": time.time(), "ready": None, "consumers": None}
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        if connection is None or connection.is_closed:
                            connection = await aiormq.connect(amqp_url)
                        if channel is None or channel.is_closed:
                            channel = await connection.channel()
                        queue = await channel.queue_declare(TASK_QUEUE, passive=True)
                        sample["ready"] = queue.message_count
                        sample["consumers"] = queue.consumer_count
                except (aiormq.AMQPError, OSError, TimeoutError):
                    channel = None
                except asyncio.CancelledError:
                    # The driver also says "cancelled" of calls that a lost connection ended.
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                    channel = None
                file.write(json.dumps(sample) + "\n")
                file.flush()
                await asyncio.sleep(max(0.0, due_at - asyncio.get_running_loop().time()))
        finally:
            if connection is not None:
                await connection.close()


async def read_dead_letters(amqp_url: str) -> dict[str, Any]:
    """What `tasks.dlq` holds: `{"count": …, "message_ids": [task ids, in order]}`.

    The messages are read without acknowledging them; closing the channel puts them back. They are
    read by a consumer: while one is attached, the platform's reconciler knows that those missing
    from the queue are not gone.
    """
    connection = await aiormq.connect(amqp_url)
    try:
        channel = await connection.channel()
        queue = await channel.queue_declare(DEAD_LETTER_QUEUE, passive=True)
        count = queue.message_count or 0
        arrived: asyncio.Queue[str] = asyncio.Queue()

        async def on_message(message: DeliveredMessage) -> None:
            arrived.put_nowait(str(json.loads(message.body)["id"]))

        await channel.basic_consume(DEAD_LETTER_QUEUE, on_message)
        ids: list[str] = []
        # Somebody else may take one between the count and its delivery.
        with suppress(TimeoutError):
            while len(ids) < count:
                ids.append(await asyncio.wait_for(arrived.get(), _ANSWER_S))
        return {"count": count, "message_ids": ids}
    finally:
        await connection.close()


async def broker_version(amqp_url: str) -> str:
    """The broker's version as it introduces itself."""
    connection = await aiormq.connect(amqp_url)
    try:
        return str(connection.server_properties.get("version", "unknown"))
    finally:
        await connection.close()
