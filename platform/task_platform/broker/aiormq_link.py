"""The other driver: aiormq, message by message. Slower, and somebody else's for many years."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel as AiormqNative
from aiormq.exceptions import PublishError
from pamqp.commands import Basic

from task_platform import wire
from task_platform.broker import client
from task_platform.broker.links import Deliveries, LinkLost, Publication, QueueDepth, Unroutable
from task_platform.broker.topology import Queue
from task_platform.errors import BrokerUnavailable
from task_platform.settings import Settings


async def connect_aiormq(settings: Settings, *, name: str) -> AiormqLink:
    """An open connection. Raises BrokerUnavailable."""
    return AiormqLink(await client.connect(settings, name=name))


class AiormqLink:
    """One connection; implements `links.Link`."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed

    @property
    def is_blocked(self) -> bool:
        """Whether the broker, short of memory or disk, reads nothing from here for now."""
        return client.is_blocked(self._connection)

    async def open_channel(self, *, confirms: bool) -> AiormqChannel:
        """A new channel. Raises BrokerUnavailable."""
        return AiormqChannel(await client.open_channel(self._connection, confirms=confirms))

    async def close(self) -> None:
        """Close it in bounded time, without complaint, whatever its state."""
        await client.close(self._connection)


class AiormqChannel:
    """One channel; implements `links.Channel`."""

    def __init__(self, native: AiormqNative) -> None:
        self._native = native
        self._on_cancel: Callable[[], None] = lambda: None
        native.on_consumer_cancel_callbacks.add(lambda _: self._on_cancel())

    @property
    def is_closed(self) -> bool:
        return self._native.is_closed

    async def ended(self) -> LinkLost:
        """Wait for the channel's end; why it came."""
        try:
            with client.translated_errors():
                await asyncio.shield(self._native.closing)
        except BrokerUnavailable as error:
            return LinkLost(str(error))
        return LinkLost("the connection was closed")

    async def declare(self, queue: Queue) -> None:
        """Make sure that a queue exists. Raises ConfigurationError when it has other settings."""
        await client.declare(self._native, [queue])

    async def depth(self, queue: str) -> QueueDepth:
        """What is ready, and who consumes. A missing queue closes the channel."""
        return await client.queue_depth(self._native, queue)

    async def publish(
        self, publication: Publication, queue: str, bodies: Sequence[bytes], *, mandatory: bool
    ) -> None:
        """Publish messages with confirms; returns when each is confirmed or refused."""

        async def publish_one(index: int, body: bytes) -> None:
            await self._native.basic_publish(
                body,
                routing_key=queue,
                properties=Basic.Properties(delivery_mode=2, content_type=wire.CONTENT_TYPE),
                mandatory=mandatory,
                wait=False,
            )
            publication.confirmed.add(index)

        outcomes = await asyncio.gather(
            *(publish_one(index, body) for index, body in enumerate(bodies)),
            return_exceptions=True,
        )
        failed = next((outcome for outcome in outcomes if outcome is not None), None)
        if isinstance(failed, PublishError):
            publication.problem = Unroutable("the queue is not there")
        elif failed is not None:
            publication.problem = BrokerUnavailable(f"{type(failed).__name__}: {failed}")

    async def prefetch(self, count: int) -> None:
        """How many deliveries the consumers that begin from now on may have open."""
        with client.translated_errors():
            async with asyncio.timeout(client.CONNECT_TIMEOUT_S):
                await self._native.basic_qos(prefetch_count=count)

    async def consume(
        self,
        queue: str,
        consumer_tag: str,
        *,
        on_deliveries: Callable[[Deliveries], None],
        on_cancel: Callable[[], None],
    ) -> None:
        """Begin to consume, under a tag of one's own."""

        async def on_message(message: DeliveredMessage) -> None:
            if message.delivery_tag is not None:
                on_deliveries([(message.delivery_tag, message.body)])

        self._on_cancel = on_cancel
        with client.translated_errors():
            async with asyncio.timeout(client.CONNECT_TIMEOUT_S):
                await self._native.basic_consume(queue, on_message, consumer_tag=consumer_tag)

    async def cancel(self, consumer_tag: str) -> None:
        """Take no more; what was delivered may still be acknowledged."""
        with client.translated_errors():
            await self._native.basic_cancel(consumer_tag, timeout=client.CLOSE_TIMEOUT_S)

    async def acknowledge(self, upto: int | None, singles: Sequence[int]) -> None:
        """Acknowledge everything up to a tag, if one is given, and others one by one."""
        with client.translated_errors():
            if upto is not None:
                await self._native.basic_ack(upto, multiple=True, wait=False)
            for tag in singles:
                await self._native.basic_ack(tag, wait=False)

    async def close(self) -> None:
        """Close it, without complaint, whatever its state."""
        await client.close(self._native)
