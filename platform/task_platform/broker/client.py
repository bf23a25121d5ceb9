"""Plain AMQP connections: open, declare, look, close, with errors in our own words.

aiormq is used directly: it is the layer that aio-pika itself stands on, it hands over deliveries at
about half the cost, and its connections do not reconnect behind our back. Whoever needs the broker
supervises its own connection and can say at any moment whether it has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.channel import Channel
from yarl import URL

from task_platform.broker.links import QueueDepth
from task_platform.broker.topology import Queue, queues
from task_platform.errors import BrokerUnavailable, ConfigurationError
from task_platform.settings import Settings

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0


class _Connection(aiormq.Connection):
    """Gives up a silent server after two and a half heartbeats: with the default ones, 12 s."""

    HEARTBEAT_GRACE_MULTIPLIER = 2

    @property
    def is_blocked(self) -> bool:
        """Whether the server has said that it reads nothing from here for now."""
        unblocked: asyncio.Event = getattr(self, "_Connection__connection_unblocked")  # noqa: B009
        return self.connected.is_set() and not unblocked.is_set()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into BrokerUnavailable, the cause kept."""
    try:
        yield
    except (
        aiormq.exceptions.AMQPError,
        aiormq.exceptions.ChannelInvalidStateError,
        OSError,
        TimeoutError,
        RuntimeError,
    ) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: the driver did so to a task of its own that we wait for.
        raise BrokerUnavailable("the connection was closed") from error


async def connect(settings: Settings, *, name: str) -> AbstractConnection:
    """An open connection, named for the broker's list, within `CONNECT_TIMEOUT_S`.

    Raises BrokerUnavailable.
    """
    url = URL(settings.amqp_url.get_secret_value()).update_query(
        heartbeat=settings.broker_heartbeat_s, name=f"task-platform {name}"
    )
    connection = _Connection(url)
    with translated_errors():
        await _answered(connection.connect(), within_s=CONNECT_TIMEOUT_S)
    return connection


def is_blocked(connection: AbstractConnection | None) -> bool:
    """Whether the broker, short of memory or disk, has blocked what this connection publishes."""
    return isinstance(connection, _Connection) and connection.is_blocked


async def close(link: AbstractConnection | AbstractChannel) -> None:
    """Close a connection or channel in bounded time, without complaint, whatever its state."""
    with suppress(Exception):
        await _answered(link.close(), within_s=CLOSE_TIMEOUT_S)


async def _answered(asking: Coroutine[Any, Any, T], *, within_s: float) -> T:
    """The answer. Raises TimeoutError when it does not come, without waiting for anything more.

    In a task of its own: the driver answers with errors and cancellations of its own making, which
    must not be taken for those of whoever asks, and over a dead link its own clearing up may take
    longer than anybody wants to wait.
    """
    task = asyncio.ensure_future(asking)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task}, timeout=within_s)
        if task.cancelled():
            raise ConnectionError("the driver gave up")
        if task.done():
            return task.result()
        raise TimeoutError(f"no answer within {within_s:g} s")
    finally:
        task.cancel()


@asynccontextmanager
async def connected(settings: Settings, *, name: str) -> AsyncIterator[AbstractConnection]:
    """A connection for the time of the block."""
    connection = await connect(settings, name=name)
    try:
        yield connection
    finally:
        await close(connection)


async def open_channel(connection: AbstractConnection, *, confirms: bool = True) -> Channel:
    """A new channel. Raises BrokerUnavailable."""
    with translated_errors():
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            channel = await connection.channel(
                publisher_confirms=confirms,
                # The reader of a connection waits for the slowest channel's buffer: leave it room.
                frame_buffer_size=4_096,
            )
    assert isinstance(channel, Channel)
    return channel


async def declare(channel: AbstractChannel, wanted: Sequence[Queue]) -> None:
    """Make sure that the queues exist. Raises BrokerUnavailable, ConfigurationError."""
    with translated_errors():
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                for queue in wanted:
                    await channel.queue_declare(
                        queue.name, durable=True, arguments=dict(queue.arguments)
                    )
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise ConfigurationError(
                f"the broker holds a queue with other settings: {error}"
            ) from error


async def declare_all(channel: AbstractChannel, settings: Settings) -> None:
    """Make sure that every queue of the platform exists."""
    await declare(channel, queues(settings.queue_type))


async def queue_depth(channel: AbstractChannel, queue: str) -> QueueDepth:
    """Messages ready and consumers, by passive declare. Raises BrokerUnavailable.

    A missing queue closes the channel: that is AMQP's answer.
    """
    with translated_errors():
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            answer = await channel.queue_declare(queue, passive=True)
    return QueueDepth(ready=answer.message_count or 0, consumers=answer.consumer_count or 0)
