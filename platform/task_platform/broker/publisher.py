"""Publishing announcements with confirms, a batch at a time, within a deadline.

Never raises for a broker that is away: it says which tasks are confirmed, and the outbox keeps the
rest. An attempt to reconnect happens at most once per back-off period, so that a submit never
waits for a broker that is down.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import aiormq
import structlog
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from pamqp.commands import Basic

from task_platform import wire
from task_platform.broker import client
from task_platform.errors import BrokerUnavailable, ConfigurationError
from task_platform.settings import Settings

log = structlog.get_logger()

# Confirms asked for at once: enough to keep the broker's disk busy, few enough for one deadline.
PIPELINE = 500
_MAX_BACKOFF_S = 5.0


class Publisher:
    """One connection and one confirming channel, opened when needed."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = f"{name} publisher"
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._lock = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    @property
    def is_backing_off(self) -> bool:
        """Whether publishing would fail at once, because the last attempt did so just now."""
        return not self.is_connected and monotonic() < self._retry_at

    async def publish(self, queue: str, task_ids: Sequence[UUID]) -> set[UUID]:
        """Announce tasks on a queue; returns those the broker has confirmed."""
        confirmed: set[UUID] = set()
        for start in range(0, len(task_ids), PIPELINE):
            chunk = task_ids[start : start + PIPELINE]
            arrived = await self._publish_chunk(queue, chunk)
            confirmed |= arrived
            if len(arrived) < len(chunk):
                break
        return confirmed

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await client.close(connection)

    async def _publish_chunk(self, queue: str, task_ids: Sequence[UUID]) -> set[UUID]:
        confirmed: set[UUID] = set()

        async def publish_one(channel: Channel, task_id: UUID) -> None:
            await channel.basic_publish(
                wire.encode_message(task_id),
                routing_key=queue,
                properties=Basic.Properties(delivery_mode=2, content_type=wire.CONTENT_TYPE),
                mandatory=True,
                wait=False,
            )
            confirmed.add(task_id)

        # The outer deadline also covers the wait for a blocked or vanished connection.
        outcomes: list[BaseException | None] = []
        try:
            async with self._lock:
                channel = await self._open_channel()
            async with asyncio.timeout(self._settings.publish_timeout_s):
                outcomes = await asyncio.gather(
                    *(publish_one(channel, task_id) for task_id in task_ids),
                    return_exceptions=True,
                )
        except (BrokerUnavailable, ConfigurationError) as error:
            self._note_failure(error)
        except TimeoutError as error:
            self._note_failure(error)
            await self.close()
        failed = next((outcome for outcome in outcomes if outcome is not None), None)
        if failed is not None:
            # Returned (the queue is gone), refused, or the channel died: begin anew, which also
            # declares the queues again.
            self._note_failure(failed)
            await self.close()
        return confirmed

    async def _open_channel(self) -> Channel:
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        await self.close()
        if self.is_backing_off:
            raise BrokerUnavailable("backing off")
        self._connection = await client.connect(self._settings, name=self._name)
        channel = await client.open_channel(self._connection)
        await client.declare_all(channel, self._settings)
        if self._failures:
            log.info("publisher connected again", after_failures=self._failures)
        self._failures = 0
        self._channel = channel
        return channel

    def _note_failure(self, error: BaseException) -> None:
        if monotonic() < self._retry_at:
            return
        self._failures += 1
        returned = isinstance(error, aiormq.exceptions.DeliveryError)
        pause = 0.0 if returned else min(_MAX_BACKOFF_S, 0.1 * 2 ** min(self._failures, 10))
        self._retry_at = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        log.warning("publishing failed", error=type(error).__name__, detail=str(error)[:200])
