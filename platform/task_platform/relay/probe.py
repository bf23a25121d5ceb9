"""A connection for looking at queues, kept between looks and opened anew when it is lost."""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiormq.channel import Channel

from task_platform.broker import client
from task_platform.broker.links import QueueDepth
from task_platform.errors import BrokerUnavailable
from task_platform.settings import Settings


class QueueProbe:
    """Looks at queues by passive declare, which is exact and costs little."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = name
        self._connection = AsyncExitStack()
        self._channel: Channel | None = None

    async def depth(self, queue: str) -> QueueDepth:
        """How the queue stands now. Raises BrokerUnavailable, ConfigurationError."""
        if self._channel is None or self._channel.is_closed:
            await self.close()
            connection = await self._connection.enter_async_context(
                client.connected(self._settings, name=self._name)
            )
            channel = await client.open_channel(connection, confirms=False)
            await client.declare_all(channel, self._settings)
            self._channel = channel
        try:
            return await client.queue_depth(self._channel, queue)
        except BrokerUnavailable:
            # A missing queue closes the channel; the next look declares it again.
            self._channel = None
            raise

    async def close(self) -> None:
        """Let the connection go."""
        self._channel = None
        await self._connection.aclose()
