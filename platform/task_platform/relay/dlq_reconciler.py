"""The dead letter queue agrees with the list: one message for each open dead letter.

The list is in the database, and messages reach the queue through the outbox; this is for what went
wrong on the way or since: a queue that was purged, deleted or full, messages of what was replayed
or purged, doubles, strangers.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from uuid import UUID

import structlog
from aiormq.channel import Channel
from pamqp.commands import Basic

from task_platform import wire
from task_platform.broker import client, topology
from task_platform.broker.publisher import PIPELINE, Publisher
from task_platform.domain.reconciliation import Suspicion, Tally
from task_platform.errors import BrokerUnavailable
from task_platform.metrics import RelayMetrics
from task_platform.relay.probe import QueueProbe
from task_platform.service import Service
from task_platform.storage import dead_letters, locks
from task_platform.storage.dead_letters import BEGINNING
from task_platform.storage.locks import Lock
from task_platform.storage.pool import Pool

log = structlog.get_logger()

_QUEUE = topology.DEAD_LETTERS
# A pass is followed by a pause of its own length, and passes that do not bring agreement (something
# takes the messages away, say a length limit) by ever longer ones.
_PAUSE = 1.0
_LONGEST_PAUSE = 16
# A tally of this size takes some 60 MB. A longer list is left as it is.
_MOST_LISTED = 500_000


class DeadLetterReconciler:
    """Compares counts at every look, and the two lists when the counts stay different."""

    def __init__(self, service: Service, pool: Pool, metrics: RelayMetrics) -> None:
        self._settings = service.settings
        self._stopping = service.stopping
        self._pool = pool
        self._metrics = metrics
        self._probe = QueueProbe(service.settings, name="relay dead letters")
        self._publisher = Publisher(service.settings, name="relay reconciler")
        self._suspicion = Suspicion()
        # Equal counts may hide different lists: the first look compares them whatever it counts.
        self._is_first = True
        self._not_before = 0.0
        self._in_vain = 0

    async def look(self) -> bool:
        """Compare, and mend when it is time to. Never asks to be repeated at once.

        Raises DatabaseUnavailable, BrokerUnavailable, ConfigurationError.
        """
        if not await self._is_suspicious() or monotonic() < self._not_before:
            return False
        async with locks.held_lock(self._pool, locks.DEAD_LETTERS) as lock:
            if lock is None:
                # Whoever holds it is at it.
                self._is_first = False
            elif await self._is_suspicious():
                # Not mended by whoever held it until now.
                await self._pass(lock)
        self._suspicion.drop()
        return False

    async def close(self) -> None:
        """Let the connections go."""
        await self._probe.close()
        await self._publisher.close()

    async def _is_suspicious(self) -> bool:
        listed, are_underway = await dead_letters.count_open(self._pool)
        self._metrics.dead_letters_open.set(listed)
        depth = await self._probe.depth(_QUEUE)
        self._metrics.dlq_depth.set(depth.ready)
        if depth.consumers:
            # Messages in a consumer's hands are neither in the queue nor gone.
            self._suspicion.drop()
            return False
        if listed == depth.ready:
            self._in_vain = 0
        stands = self._suspicion.is_confirmed_by(
            listed=listed, queued=depth.ready, are_underway=are_underway
        )
        return stands or self._is_first

    async def _pass(self, lock: Lock) -> None:
        started = monotonic()
        try:
            self._is_first = not await self._compare(lock)
        finally:
            took_s = monotonic() - started
            pause_s = took_s * _PAUSE * min(2**self._in_vain, _LONGEST_PAUSE)
            self._not_before = monotonic() + pause_s
            self._in_vain += 1

    async def _compare(self, lock: Lock) -> bool:
        """Turn the queue over once, then add what is missing; whether it came to its end.

        Each message is sent to the queue's end before it is taken from its head. Dying in between
        leaves doubles, which the next pass drops; holding all messages until the end instead would
        keep the broker busy for minutes with taking them back.
        """
        tally = await self._expected()
        if tally is None:
            return True
        async with client.connected(self._settings, name="relay dead letters pass") as connection:
            channel = await client.open_channel(connection, confirms=False)
            await client.declare_all(channel, self._settings)
            depth = await client.queue_depth(channel, _QUEUE)
            left = depth.ready
            while left > 0:
                if depth.consumers or self._stopping.is_set():
                    return False
                taken = await self._turn_over(channel, min(left, PIPELINE), tally)
                left = left - taken if taken else 0
                await lock.confirm()
                depth = await client.queue_depth(channel, _QUEUE)
            if depth.consumers:
                return False
        missing = tally.missing()
        for start in range(0, len(missing), PIPELINE):
            wanted = await dead_letters.open_among(self._pool, missing[start : start + PIPELINE])
            await self._publish(list(wanted))
            self._metrics.repairs.labels("published").inc(len(wanted))
            await lock.confirm()
        return True

    async def _expected(self) -> Tally | None:
        """What the queue has to hold at least; None when that is too much to compare."""
        tally = Tally()
        position = BEGINNING
        while window := await dead_letters.announced_dead_letters(self._pool, after=position):
            position = window[-1].position
            tally.expect(each.position.task_id for each in window if each.is_announced)
            if len(tally) > _MOST_LISTED:
                log.warning("too many dead letters to compare with their queue", most=_MOST_LISTED)
                return None
        return tally

    async def _turn_over(self, channel: Channel, most: int, tally: Tally) -> int:
        """Move so many messages from the head to the end, without what does not belong there."""
        ids: list[UUID] = []
        last_tag, unreadable = 0, 0
        with client.translated_errors():
            while len(ids) + unreadable < most:
                message = await channel.basic_get(_QUEUE, timeout=client.CONNECT_TIMEOUT_S)
                if not isinstance(message.delivery, Basic.GetOk):
                    break
                last_tag = message.delivery.delivery_tag or 0
                try:
                    ids.append(wire.decode_message(message.body))
                except wire.UnreadableMessage:
                    unreadable += 1
        if not last_tag:
            return 0
        # Looked up after the messages were taken: what is announced now was listed before.
        kept = tally.sift(ids, await dead_letters.open_among(self._pool, ids))
        await self._publish(kept)
        with client.translated_errors():
            async with asyncio.timeout(client.CONNECT_TIMEOUT_S):
                await channel.basic_ack(last_tag, multiple=True)
        self._metrics.repairs.labels("removed").inc(len(ids) - len(kept))
        self._metrics.repairs.labels("unreadable").inc(unreadable)
        return len(ids) + unreadable

    async def _publish(self, ids: list[UUID]) -> None:
        confirmed = await self._publisher.publish(_QUEUE, ids)
        if len(confirmed) < len(ids):
            raise BrokerUnavailable(
                f"{len(ids) - len(confirmed)} of {len(ids)} dead letters were not confirmed"
            )
