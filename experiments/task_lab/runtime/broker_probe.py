"""Asks the broker itself how many consumers a queue has; its statistics lag, this does not."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import aiormq


def consumer_count(amqp_url: str, queue: str) -> int | None:
    """Consumers attached to the queue right now, by passive declare.

    0 if there is no such queue; None while the broker does not answer.
    Runs in a thread of its own, so that it works where an event loop runs already (notebooks).
    """
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(lambda: asyncio.run(_declare_passively(amqp_url, queue)))
        try:
            return answer.result()
        except (OSError, aiormq.AMQPError):
            return None


async def _declare_passively(amqp_url: str, queue: str) -> int:
    connection = await aiormq.connect(amqp_url)
    try:
        channel = await connection.channel()
        answer = await channel.queue_declare(queue, passive=True)
        return answer.consumer_count or 0
    except aiormq.exceptions.ChannelNotFoundEntity:
        return 0
    finally:
        await connection.close()
