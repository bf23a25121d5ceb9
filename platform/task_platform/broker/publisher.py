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

from task_platform import wire
from task_platform.broker import links, topology
from task_platform.broker.links import Channel, Link, Publication, Unroutable
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
        self._link: Link | None = None
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
        is_blocked = self._link is not None and self._link.is_blocked
        return is_blocked or monotonic() < self._blocked_until

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
            await channel.depth(topology.TASKS)
        except (BrokerUnavailable, ConfigurationError) as error:
            self._note_failure(error)
            await self.close()
            return False
        self._note_success()
        return True

    async def close(self) -> None:
        """Let the connection go."""
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            await link.close()

    async def _publish_chunk(
        self, queue: str, task_ids: Sequence[UUID], *, mandatory: bool = True
    ) -> set[UUID]:
        bodies = [wire.encode_message(task_id) for task_id in task_ids]
        publication = Publication()
        problem: BaseException | None = None
        try:
            async with self._lock:
                channel = await self._open_channel()
        except (BrokerUnavailable, ConfigurationError) as error:
            self._note_failure(error)
            return set()
        # The outer deadline also covers the wait for a blocked or vanished connection.
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                await channel.publish(publication, queue, bodies, mandatory=mandatory)
            problem = publication.problem
        except BrokerUnavailable as error:
            problem = error
        except TimeoutError:
            problem = TimeoutError("no confirm in time")
            self._must_confirm = True
            if self._link is not None and self._link.is_blocked:
                self._blocked_until = monotonic() + _STILL_BLOCKED_S
        if problem is not None:
            # Returned (the queue is gone), refused, late, or the channel died: begin anew, which
            # also declares the queues again.
            self._note_failure(problem)
            await self.close()
        else:
            self._must_confirm = False
            self._note_success()
        return {task_ids[index] for index in publication.confirmed}

    async def _open_channel(self) -> Channel:
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        await self.close()
        if self.is_backing_off:
            raise BrokerUnavailable("backing off")
        self._link = await links.connect(self._settings, name=self._name)
        channel = await self._link.open_channel(confirms=True)
        await links.declare_all(channel, self._settings)
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
        pause = min(_MAX_BACKOFF_S, 0.1 * 2 ** min(self._failures, 10))
        if isinstance(error, Unroutable):
            pause = 0.0
        self._retry_at = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._outage.complain(f"{type(error).__name__}: {error}", by=self._name)
