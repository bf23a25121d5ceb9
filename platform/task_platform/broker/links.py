"""What the hot loops need of a broker: publish a batch, take deliveries, acknowledge many at once.

Two drivers offer it, and a setting chooses: `batched`, ours, encodes and cuts frames a batch at a
time; `aiormq` goes message by message through that library, for whoever mistrusts ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from task_platform.broker.topology import Queue, queues
from task_platform.errors import BrokerUnavailable
from task_platform.settings import Settings

# The tag and the body of each message, in the order of their coming.
Deliveries = Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a passive declare tells: messages ready, consumers attached."""

    ready: int
    consumers: int


class LinkLost(BrokerUnavailable):
    """A connection or channel has come to its end. code: the broker's, 0 when it gave none."""

    def __init__(self, detail: str, code: int = 0) -> None:
        super().__init__(detail)
        self.code = code


class Unroutable(BrokerUnavailable):
    """The broker returned a message: no queue of that name is there."""


class Publication:
    """A batch on its way, to be read at any time, also after a failure.

    confirmed: places in the batch. problem: why a message was not taken, once that is known of one.
    """

    def __init__(self) -> None:
        self.confirmed: set[int] = set()
        self.problem: BrokerUnavailable | None = None


class Channel(Protocol):
    """One channel. Everything that waits raises LinkLost when it ends meanwhile."""

    @property
    def is_closed(self) -> bool: ...

    async def ended(self) -> LinkLost:
        """Wait for the channel's end; why it came."""

    async def declare(self, queue: Queue) -> None:
        """Make sure that a queue exists. Raises ConfigurationError when it has other settings."""

    async def depth(self, queue: str) -> QueueDepth:
        """What is ready, and who consumes. A missing queue closes the channel."""

    async def publish(
        self, publication: Publication, queue: str, bodies: Sequence[bytes], *, mandatory: bool
    ) -> None:
        """Publish messages with confirms; returns when each is confirmed or refused.

        What is confirmed shows in the publication as it comes, so that whoever gives up waiting
        knows it as well.
        """

    async def prefetch(self, count: int) -> None:
        """How many deliveries the consumers that begin from now on may have open."""

    async def consume(
        self,
        queue: str,
        consumer_tag: str,
        *,
        on_deliveries: Callable[[Deliveries], None],
        on_cancel: Callable[[], None],
    ) -> None:
        """Begin to consume, under a tag of one's own.

        on_cancel: the broker took the consumer away.
        """

    async def cancel(self, consumer_tag: str) -> None:
        """Take no more; what was delivered may still be acknowledged."""

    async def acknowledge(self, upto: int | None, singles: Sequence[int]) -> None:
        """Acknowledge everything up to a tag, if one is given, and others one by one."""

    async def close(self) -> None:
        """Close it, without complaint, whatever its state."""


class Link(Protocol):
    """One connection."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def is_blocked(self) -> bool:
        """Whether the broker, short of memory or disk, reads nothing from here for now."""

    async def open_channel(self, *, confirms: bool) -> Channel:
        """A new channel. Raises BrokerUnavailable."""

    async def close(self) -> None:
        """Close it in bounded time, without complaint, whatever its state."""


async def connect(settings: Settings, *, name: str) -> Link:
    """An open connection, named for the broker's list. Raises BrokerUnavailable."""
    if settings.broker_driver == "aiormq":
        from task_platform.broker.aiormq_link import connect_aiormq  # noqa: PLC0415

        return await connect_aiormq(settings, name=name)
    from task_platform.broker.amqp.link import connect_amqp  # noqa: PLC0415

    return await connect_amqp(settings, name=name)


@asynccontextmanager
async def connected(settings: Settings, *, name: str) -> AsyncIterator[Link]:
    """A connection for the time of the block."""
    link = await connect(settings, name=name)
    try:
        yield link
    finally:
        await link.close()


async def declare_all(channel: Channel, settings: Settings) -> None:
    """Make sure that every queue of the platform exists."""
    for queue in queues(settings.queue_type):
        await channel.declare(queue)
