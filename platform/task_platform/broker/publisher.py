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
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from pamqp.commands import Basic

from task_platform import wire
from task_platform.broker import client, topology
from task_platform.errors import BrokerUnavailable, ConfigurationError
from task_platform.logs import Outage
from task_platform.settings import Settings

# Confirms asked for at once: enough to keep the broker's disk busy, few enough for one deadline.
PIPELINE = 500
# A link over which nothing was confirmed for so long is asked whether it still stands.
PROBE_AFTER_S = 3.0
_MAX_BACKOFF_S = 3.0
# A blocked link is given up and opened again, and is not blocked until something is sent over it.
_STILL_BLOCKED_S = 2 * _MAX_BACKOFF_S
# Names no queue: the broker confirms such a message and forgets it.
_NOWHERE = "task-platform.probe"


class Publisher:
    """One connection and one confirming channel, opened when needed."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = f"{name} publisher"
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._confirmed_at = -PROBE_AFTER_S
        self._must_confirm = False
        self._blocked_until = 0.0
        self._outage = Outage("publishing fails")
        self._lock = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    @property
    def is_backing_off(self) -> bool:
        """Whether publishing would fail at once, because the last attempt did so just now."""
        return not self.is_connected and monotonic() < self._retry_at

    @property
    def is_blocked(self) -> bool:
        """Whether the broker holds up what is published, as it does short of memory or disk."""
        return client.is_blocked(self._connection) or monotonic() < self._blocked_until

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

    async def probe(self) -> bool:
        """Whether publishing works now, found out without sending anything that counts.

        A link in use needs no proof; an idle one has to answer; and after a time-out (the broker
        blocks publishers while it is short of memory or disk) only a confirm will do.
        """
        if self.is_connected and monotonic() - self._confirmed_at < PROBE_AFTER_S:
            return True
        if self._must_confirm:
            return bool(await self._publish_chunk(_NOWHERE, [UUID(int=0)], mandatory=False))
        try:
            async with self._lock:
                channel = await self._open_channel()
            await client.queue_depth(channel, topology.TASKS)
        except (BrokerUnavailable, ConfigurationError) as error:
            self._note_failure(error)
            await self.close()
            return False
        self._note_success()
        return True

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await client.close(connection)

    async def _publish_chunk(
        self, queue: str, task_ids: Sequence[UUID], *, mandatory: bool = True
    ) -> set[UUID]:
        confirmed: set[UUID] = set()

        async def publish_one(channel: Channel, task_id: UUID) -> None:
            await channel.basic_publish(
                wire.encode_message(task_id),
                routing_key=queue,
                properties=Basic.Properties(delivery_mode=2, content_type=wire.CONTENT_TYPE),
                mandatory=mandatory,
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
        except TimeoutError:
            self._must_confirm = True
            if client.is_blocked(self._connection):
                self._blocked_until = monotonic() + _STILL_BLOCKED_S
            self._note_failure(TimeoutError("no confirm in time"))
            await self.close()
        failed = next((outcome for outcome in outcomes if outcome is not None), None)
        if failed is not None:
            # Returned (the queue is gone), refused, or the channel died: begin anew, which also
            # declares the queues again.
            self._note_failure(failed)
            await self.close()
        elif len(confirmed) == len(task_ids):
            self._must_confirm = False
            self._note_success()
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
        self._channel = channel
        return channel

    def _note_success(self) -> None:
        self._failures = 0
        self._blocked_until = 0.0
        self._confirmed_at = monotonic()
        self._outage.over(by=self._name)

    def _note_failure(self, error: BaseException) -> None:
        if monotonic() < self._retry_at:
            return
        self._failures += 1
        returned = isinstance(error, aiormq.exceptions.DeliveryError)
        pause = 0.0 if returned else min(_MAX_BACKOFF_S, 0.1 * 2 ** min(self._failures, 10))
        self._retry_at = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._outage.complain(f"{type(error).__name__}: {error}", by=self._name)
