"""Giving back what others could start at once: after a burst, one worker may hold far too much."""

from __future__ import annotations

import asyncio
from time import monotonic

import structlog

from task_platform.domain.deliveries import (
    SURPLUS_AFTER_S,
    Held,
    others_idle,
    pause_until_next_look,
    surplus,
)
from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import WorkerMetrics
from task_platform.storage.claims import hand_on
from task_platform.storage.pool import Pool
from task_platform.worker.completer import Completer
from task_platform.worker.consumer import Consumer
from task_platform.worker.intake import Intake
from task_platform.worker.pace import Pace
from task_platform.worker.slots import Slots
from task_platform.worker.work import Delivery, GivenBack

log = structlog.get_logger()


class Redistribution:
    """Looks about once a second for work that waits here while other workers may be idle.

    Nothing can be lost on the way: a delivery is acknowledged only after its task was announced
    again, and a claimed task goes back as every outcome does.

    stalled_after_s: where nothing could be started here for so long, what waits goes to the others,
        idle or not: behind a long queue it may wait, behind a task that hangs it must not.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: WorkerMetrics,
        *,
        consumer: Consumer,
        intake: Intake,
        slots: Slots,
        completer: Completer,
        pace: Pace,
        stalled_after_s: float,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._consumer = consumer
        self._intake = intake
        self._slots = slots
        self._completer = completer
        self._pace = pace
        self._stalled_after_s = stalled_after_s

    @property
    def is_stalled(self) -> bool:
        """Whether nothing could be started here for too long."""
        return self._slots.are_stalled(self._stalled_after_s)

    async def run(self) -> None:
        """Look until cancelled."""
        pause_s, before = SURPLUS_AFTER_S, 0
        while True:
            await asyncio.sleep(pause_s)
            gave_back = await self._look()
            pause_s = pause_until_next_look(pause_s, gave_back=gave_back, before=before)
            before = gave_back

    async def _look(self) -> int:
        """Give back what is too much; how much that was."""
        since = monotonic() - SURPLUS_AFTER_S
        if not self._surplus(since).total:
            return 0
        depth = await self._consumer.depth()
        if depth is None:
            return 0
        is_wanted = (
            depth.consumers > 1 if self.is_stalled else others_idle(depth.ready, depth.consumers)
        )
        if not is_wanted:
            return 0
        # Counted anew: work went on while the broker answered.
        too_much = self._surplus(since)
        if not too_much.total:
            return 0
        # The burst is over. Asking for less comes first, or the same deliveries would come back.
        self._pace.forget()
        for assignment in self._slots.take_last(too_much.claimed):
            self._completer.add([(assignment, GivenBack())])
        deliveries = self._consumer.take_last(too_much.delivered, since=since)
        deliveries += self._intake.take_set_aside(too_much.set_aside)
        if deliveries:
            await self._hand_on(deliveries)
        log.info("gave back", claimed=too_much.claimed, unclaimed=len(deliveries))
        return too_much.total

    def _surplus(self, since: float) -> Held:
        held = Held(
            delivered=self._consumer.waiting(since=since),
            claimed=self._slots.waiting(since=since),
            set_aside=self._intake.set_aside(since=since),
        )
        return surplus(held, 0 if self.is_stalled else self._slots.offered)

    async def _hand_on(self, deliveries: list[Delivery]) -> None:
        handed_on: list[Delivery] = []
        try:
            known = await hand_on(self._pool, {delivery.task_id for delivery in deliveries})
            # A message without a row is not passed round: it waits here for its row.
            handed_on = [delivery for delivery in deliveries if delivery.task_id in known]
        except DatabaseUnavailable as error:
            log.warning("nothing could be handed on", error=str(error)[:200])
        finally:
            for delivery in deliveries:
                if delivery not in handed_on:
                    self._consumer.put_back(delivery)
        await self._consumer.acknowledge(handed_on)
        self._metrics.handed_on.inc(len(handed_on))
