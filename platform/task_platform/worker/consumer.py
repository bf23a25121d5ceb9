"""Consuming, and proof of it: a supervised connection that knows whether it has a consumer.

One consumer on one channel. Every new channel is a new generation: deliveries of an older one were
already given back by the broker, so their tags are never used again.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from time import monotonic
from uuid import UUID

import structlog

from task_platform import wire
from task_platform.broker import links, topology
from task_platform.broker.links import Channel, Deliveries, Link, QueueDepth
from task_platform.domain.deliveries import AckLedger
from task_platform.errors import BrokerUnavailable, ConfigurationError
from task_platform.logs import Outage
from task_platform.metrics import WorkerMetrics
from task_platform.settings import Settings
from task_platform.worker.work import Delivery

log = structlog.get_logger()

WATCH_EVERY_S = 1.0
# A link that brought nothing for so long is asked whether it still stands.
PROBE_AFTER_S = 3.0
PROBE_TIMEOUT_S = 4.0
# Every so many such questions the consumer is made anew: a queue that was deleted and is there
# again at once may have forgotten this consumer without a word, while others keep it empty.
RENEW_EVERY = 3
_MAX_BACKOFF_S = 3.0
_SAY_WHY_S = 2.0
_NO_TASK = UUID(int=0)


class ConsumerLost(BrokerUnavailable):
    """This worker consumed, and does no longer. reason: one of `metrics.CONSUMER_LOSSES`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Consumer:
    """Deliveries of the `tasks` queue, and their acknowledgements.

    on_change: called whenever consuming starts or stops, with whether it goes on.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        *,
        worker: str,
        prefetch: int,
        on_change: Callable[[bool], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._worker = worker
        self._prefetch = prefetch
        self._on_change = on_change
        self._generation = 0
        self._ledger = AckLedger()
        # Of this channel's consumers before the present one, as long as they have deliveries open.
        self._last_tags: list[int] = []
        self._inbox: deque[Delivery] = deque()
        self._unreadable: list[Delivery] = []
        self._channel: Channel | None = None
        self._consumers = 0
        self._consumer_tag = ""
        self._is_cancelled = asyncio.Event()
        self._loss: ConsumerLost | None = None
        self._is_stopped = False
        self._last_delivery = monotonic()
        self._outage = Outage("not consuming")
        self._lock = asyncio.Lock()
        self.arrived = asyncio.Event()
        # Of each batch that came and is not acknowledged as a whole: its last tag, and when.
        self._arrivals: deque[tuple[int, float]] = deque()
        metrics.in_flight.set_function(lambda: self._ledger.unacknowledged)
        metrics.oldest_delivery.set_function(self._oldest_age_s)
        metrics.prefetch.set(prefetch)

    async def run(self) -> None:
        """Consume until stopped, connecting again whenever the link is lost."""
        failures = 0
        while not self._is_stopped:
            try:
                async with links.connected(self._settings, name=self._worker) as link:
                    await self._start(link)
                    failures = 0
                    await self._watch(link)
            except (BrokerUnavailable, ConfigurationError) as error:
                if isinstance(error, ConsumerLost):
                    self._metrics.consumer_lost.labels(error.reason).inc()
                self._outage.complain(error, by="consumer")
            finally:
                self._forget_channel()
            failures += 1
            pause_s = min(_MAX_BACKOFF_S, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def take(self, count: int) -> list[Delivery]:
        """Up to `count` deliveries, oldest first."""
        taken = [self._inbox.popleft() for _ in range(min(count, len(self._inbox)))]
        if not self._inbox:
            self.arrived.clear()
        return taken

    @property
    def untaken(self) -> int:
        """How many deliveries nobody has taken."""
        return len(self._inbox)

    def waiting(self, *, since: float) -> int:
        """How many deliveries nobody has taken since this monotonic instant, or longer."""
        return sum(delivery.arrived_mono <= since for delivery in self._inbox)

    def take_last(self, count: int, *, since: float) -> list[Delivery]:
        """Up to `count` deliveries that have waited since this instant; the last to be started."""
        last_first = reversed(self._inbox)
        old = (delivery for delivery in last_first if delivery.arrived_mono <= since)
        taken = list(islice(old, count))
        for delivery in taken:
            self._inbox.remove(delivery)
        if not self._inbox:
            self.arrived.clear()
        return taken

    async def depth(self) -> QueueDepth | None:
        """What is ready in the queue, and how many consume it; None while this cannot be told."""
        channel = self._channel
        if channel is None:
            return None
        try:
            depth = await channel.depth(topology.TASKS)
        except BrokerUnavailable:
            return None
        return QueueDepth(depth.ready, depth.consumers - self._lingering())

    def _lingering(self) -> int:
        """How many consumers of before a change the broker still counts.

        A quorum queue does as long as deliveries of theirs are not acknowledged.
        """
        if self._settings.queue_type != "quorum":
            return 0
        return sum(self._ledger.has_open(*tags) for tags in pairwise([0, *self._last_tags]))

    def put_back(self, delivery: Delivery) -> None:
        """Offer a delivery again that was taken too early."""
        if delivery.generation == self._generation:
            self._inbox.append(delivery)
            self.arrived.set()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge deliveries of the living channel; the broker has taken back the others."""
        async with self._lock:
            channel = self._channel
            unreadable, self._unreadable = self._unreadable, []
            for delivery in (*deliveries, *unreadable):
                if delivery.generation == self._generation:
                    self._ledger.finished(delivery.tag)
            if channel is None:
                return
            acks = self._ledger.due()
            while self._arrivals and self._arrivals[0][0] < self._ledger.lowest_open:
                self._arrivals.popleft()
            try:
                await channel.acknowledge(acks.upto, acks.singles)
            except BrokerUnavailable:
                # The channel is gone and its deliveries with it; `run` is about to notice.
                return

    async def set_prefetch(self, prefetch: int) -> None:
        """Ask for more or fewer deliveries: a new limit only holds for a new consumer."""
        if prefetch == self._prefetch:
            return
        self._prefetch = prefetch
        self._metrics.prefetch.set(prefetch)
        async with self._lock:
            if self._channel is None or self._channel.is_closed:
                return
            try:
                await self._consume_anew(self._channel)
            except BrokerUnavailable as error:
                self._loss = ConsumerLost("silent", str(error))
                self._is_cancelled.set()

    async def stop(self) -> None:
        """Take nothing new; the channel stays open for acknowledgements."""
        self._is_stopped = True
        async with self._lock:
            if self._channel is None:
                return
            try:
                await self._channel.cancel(self._consumer_tag)
            except BrokerUnavailable as error:
                log.warning("could not cancel the consumer", error=str(error)[:200])
        self._inbox.clear()
        self.arrived.clear()

    async def _start(self, link: Link) -> None:
        channel = await link.open_channel(confirms=False)
        await links.declare_all(channel, self._settings)
        async with self._lock:
            await self._consume_on(channel)
        self._metrics.reconnects.inc()
        self._outage.over(by="consumer")
        self._on_change(True)
        log.info("consuming", prefetch=self._prefetch, generation=self._generation)

    async def _consume_on(self, channel: Channel) -> None:
        """Begin a generation on a new channel. Raises BrokerUnavailable."""
        self._begin_generation()
        self._is_cancelled.clear()
        self._loss = None
        await self._consume(channel)
        self._channel = channel
        self._last_delivery = monotonic()

    async def _consume(self, channel: Channel) -> None:
        generation = self._generation

        def on_cancel() -> None:
            if channel is self._channel:
                self._is_cancelled.set()

        await channel.prefetch(self._prefetch)
        # Of our own, and known before the broker knows of it: whoever is interrupted while it
        # answers can still cancel the right one.
        self._consumers += 1
        self._consumer_tag = f"worker-{self._consumers}"
        await channel.consume(
            topology.TASKS,
            self._consumer_tag,
            on_deliveries=lambda messages: self._receive(messages, generation),
            on_cancel=on_cancel,
        )

    async def _consume_anew(self, channel: Channel) -> None:
        """Replace the consumer on its channel. Raises BrokerUnavailable."""
        await channel.cancel(self._consumer_tag)
        self._last_tags.append(self._ledger.highest)
        self._last_tags = [t for t in self._last_tags if self._ledger.has_open(0, t)]
        await self._consume(channel)

    def _receive(self, messages: Deliveries, generation: int) -> None:
        if generation != self._generation:
            return
        self._last_delivery = now = monotonic()
        last_tag = max(tag for tag, _ in messages)
        self._ledger.delivered(last_tag)
        self._arrivals.append((last_tag, now))
        if len(self._arrivals) > 2 * self._prefetch:
            self._forget_arrivals()
        for tag, body in messages:
            try:
                task_id = wire.decode_message(body)
            except wire.UnreadableMessage as error:
                log.error("a message that is not ours is dropped", error=str(error)[:200])
                self._metrics.rowless.inc()
                self._unreadable.append(Delivery(_NO_TASK, tag, generation))
            else:
                self._inbox.append(Delivery(task_id, tag, generation, now))
        self.arrived.set()

    async def _watch(self, link: Link) -> None:
        """Raise as soon as this connection no longer brings deliveries."""
        probe: Channel | None = None
        answered_at, questions = monotonic(), 0
        while self._channel is not None and not (link.is_closed or self._channel.is_closed):
            try:
                async with asyncio.timeout(WATCH_EVERY_S):
                    await self._is_cancelled.wait()
            except TimeoutError:
                pass
            else:
                raise self._loss or ConsumerLost("cancelled", "the broker cancelled the consumer")
            if monotonic() - max(answered_at, self._last_delivery) < PROBE_AFTER_S:
                continue
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    if probe is None or probe.is_closed:
                        probe = await link.open_channel(confirms=False)
                    depth = await probe.depth(topology.TASKS)
            except TimeoutError:
                raise ConsumerLost("silent", "the broker does not answer") from None
            except BrokerUnavailable as error:
                raise ConsumerLost("forgotten", str(error)) from error
            answered_at, questions = monotonic(), questions + 1
            if not self._is_stopped:
                if depth.consumers == 0:
                    raise ConsumerLost("forgotten", "the queue does not know this consumer")
                if questions % RENEW_EVERY == 0:
                    await self._renew(link)
        raise await _cause_of_loss(self._channel)

    async def _renew(self, link: Link) -> None:
        """Consume anew, without anybody noticing.

        On a new channel, where nothing is in hand: to an old one a queue made anew under the same
        name may seem to repeat what was delivered before, and the broker keeps it back.
        """
        old, spare = self._channel, None
        try:
            if self._ledger.unacknowledged == 0:
                spare = await link.open_channel(confirms=False)
            async with self._lock:
                if self._is_stopped or old is None or old.is_closed:
                    return
                if spare is not None and self._ledger.unacknowledged == 0:
                    await self._consume_on(spare)
                    spare = old
                elif self._ledger.unacknowledged < self._prefetch:
                    # As much in hand as was asked for would be asked for once more.
                    await self._consume_anew(old)
        except BrokerUnavailable as error:
            raise ConsumerLost("forgotten", str(error)) from error
        finally:
            if spare is not None:
                await spare.close()

    def _oldest_age_s(self) -> float:
        return monotonic() - self._arrivals[0][1] if self._arrivals else 0.0

    def _forget_arrivals(self) -> None:
        """Forget batches of which all is acknowledged, behind one task that goes on and on."""
        tags = [0, *(tag for tag, _ in self._arrivals)]
        self._arrivals = deque(
            arrival
            for before, arrival in zip(tags, self._arrivals, strict=False)
            if self._ledger.has_open(before, arrival[0])
        )

    def _begin_generation(self) -> None:
        self._generation += 1
        self._ledger = AckLedger()
        self._last_tags.clear()
        self._arrivals.clear()

    def _forget_channel(self) -> None:
        self._channel = None
        self._begin_generation()
        self._inbox.clear()
        self.arrived.clear()
        self._on_change(False)


async def _cause_of_loss(channel: Channel | None) -> ConsumerLost:
    """Why this channel was closed, as far as the broker has said."""
    why = "the connection was closed"
    with suppress(TimeoutError):
        async with asyncio.timeout(_SAY_WHY_S):
            if channel is not None:
                why = str(await channel.ended())
    # The broker says so when a delivery was held for longer than its `consumer_timeout`.
    is_ack_timeout = "delivery acknowledgement" in why and "timed out" in why
    return ConsumerLost("ack_timeout" if is_ack_timeout else "closed", why)
