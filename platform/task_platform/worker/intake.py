"""From deliveries to claimed tasks: what can be claimed is run, the rest is let go or set aside."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from uuid import UUID

import structlog

from task_platform.metrics import WorkerMetrics
from task_platform.settings import Settings
from task_platform.storage.claims import (
    Claim,
    bury_rowless,
    claim_tasks,
    existing_tasks,
    give_back_unknown,
)
from task_platform.storage.pool import Pool, until_available
from task_platform.worker.consumer import Consumer
from task_platform.worker.leases import Leases
from task_platform.worker.work import Assignment, ClaimInHand, Delivery

log = structlog.get_logger()

MAX_CLAIM = 250
# A message without a row is not judged at once: a replica promoted late, or a database restored
# from a backup, may still bring the row.
ROWLESS_LOOKS = 5
ROWLESS_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of some deliveries.

    assignments: claimed, their lease held. unclaimable: to be let go.
    """

    assignments: Sequence[Assignment] = ()
    unclaimable: Sequence[Delivery] = ()


@dataclass(frozen=True, slots=True)
class _SetAside:
    """The delivery of a task that must be alone, and how many workers were lost with it."""

    delivery: Delivery
    losses: int


class Intake:
    """Claims deliveries, in batches; tasks that must be alone are claimed one by one."""

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        metrics: WorkerMetrics,
        consumer: Consumer,
        leases: Leases,
        *,
        worker: str,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._consumer = consumer
        self._leases = leases
        self._worker = worker
        self._to_isolate: deque[_SetAside] = deque()
        self._watching_rowless: set[asyncio.Task[None]] = set()

    @property
    def has_isolated(self) -> bool:
        """Whether a task is waiting that may only run with nothing beside it."""
        return bool(self._to_isolate)

    @property
    def losses(self) -> int:
        """How many workers were lost with the next such task."""
        return self._to_isolate[0].losses if self._to_isolate else 0

    def set_aside(self, *, since: float) -> int:
        """How many deliveries of such tasks came at this monotonic instant, or before."""
        return sum(each.delivery.arrived_mono <= since for each in self._to_isolate)

    def take_set_aside(self, count: int) -> list[Delivery]:
        """Up to `count` deliveries of such tasks, the last to be started."""
        taken = [self._to_isolate.pop() for _ in range(min(count, len(self._to_isolate)))]
        return [each.delivery for each in taken]

    async def claim_batch(self, room: int) -> Taken:
        """Claim up to `room` of the waiting deliveries; waits while the database is away."""
        deliveries = self._consumer.take(min(room, MAX_CLAIM))
        if not deliveries:
            await self._consumer.acknowledge(())
            return Taken()
        return await self._claim(deliveries)

    async def claim_isolated(self, *, in_company: bool) -> Taken:
        """Claim the next task that must be alone; in_company: something runs beside it anyway."""
        if not self._to_isolate:
            return Taken()
        next_one = self._to_isolate.popleft()
        return await self._claim([next_one.delivery], alone=True, in_company=in_company)

    async def let_go(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what cannot be claimed: whoever owns the row, or the reaper, brings it back.

        Only a delivery without any row is kept for a while.
        """
        if not deliveries:
            return
        task_ids = {delivery.task_id for delivery in deliveries}
        existing = await until_available(
            lambda: existing_tasks(self._pool, task_ids), waiting="deliveries wait"
        )
        known = [delivery for delivery in deliveries if delivery.task_id in existing]
        self._metrics.unclaimable.inc(len(known))
        await self._consumer.acknowledge(known)
        for delivery in deliveries:
            if delivery.task_id not in existing:
                task = asyncio.create_task(self._look_again(delivery))
                self._watching_rowless.add(task)
                task.add_done_callback(partial(self._on_watched, delivery))

    def close(self) -> None:
        """Stop waiting for missing rows; the broker delivers those messages again."""
        for task in self._watching_rowless:
            task.cancel()

    async def _claim(
        self, deliveries: Sequence[Delivery], *, alone: bool = False, in_company: bool = False
    ) -> Taken:
        # One task may be announced twice; its first delivery speaks for it.
        first = {delivery.task_id: delivery for delivery in reversed(deliveries)}
        started = perf_counter()
        claim, claimed_mono = await self._claimed(first, alone=alone, in_company=in_company)
        self._metrics.claim_seconds.observe(perf_counter() - started)
        in_hand = ClaimInHand(claim.claim_id or 0, len(claim.tasks), claimed_mono)
        assignments = [
            Assignment(task, in_hand, first[task.id], claimed_mono) for task in claim.tasks
        ]
        if assignments:
            self._leases.hold(in_hand)
            self._metrics.claim_batch_size.observe(len(assignments))
        set_aside = [first[task_id] for task_id in claim.must_be_alone]
        self._to_isolate.extend(
            _SetAside(first[task_id], losses) for task_id, losses in claim.must_be_alone.items()
        )
        kept = {id(assignment.delivery) for assignment in assignments}
        kept.update(map(id, set_aside))
        return Taken(assignments, [each for each in deliveries if id(each) not in kept])

    async def _claimed(
        self, ids: Collection[UUID], *, alone: bool, in_company: bool
    ) -> tuple[Claim, float]:
        """The answer to a claim, however long it takes, and when it was asked for (monotonic).

        When it is read may be much later: other tasks run while it is on its way.
        """
        tries = 0
        asked_mono = 0.0

        async def claimed() -> Claim:
            nonlocal tries, asked_mono
            tries += 1
            if tries > 1:
                # The claim may have been committed and only its answer lost. Nobody would work on
                # it, and a task claimed alone would be charged for that.
                unknown = await give_back_unknown(
                    self._pool, owner=self._worker, known_claims=self._leases.known()
                )
                self._metrics.given_back.inc(len(unknown))
            asked_mono = monotonic()
            return await claim_tasks(
                self._pool,
                ids,
                owner=self._worker,
                lease_s=self._settings.lease_s,
                alone=alone,
                in_company=in_company,
            )

        return await until_available(claimed, waiting="claims wait"), asked_mono

    def _on_watched(self, delivery: Delivery, watch: asyncio.Task[None]) -> None:
        self._watching_rowless.discard(watch)
        if not watch.cancelled() and (error := watch.exception()) is not None:
            log.error("a missing row could not be looked for", exc_info=error)
            self._consumer.put_back(delivery)

    async def _look_again(self, delivery: Delivery) -> None:
        """Wait for the row of a delivery; without one, dead-letter the message."""
        for _ in range(ROWLESS_LOOKS):
            await asyncio.sleep(ROWLESS_PAUSE_S)
            if await until_available(
                lambda: existing_tasks(self._pool, [delivery.task_id]), waiting="deliveries wait"
            ):
                self._consumer.put_back(delivery)
                return
        log.error("a message names a task that does not exist", task_id=str(delivery.task_id))
        self._metrics.rowless.inc()
        await until_available(
            lambda: bury_rowless(self._pool, delivery.task_id), waiting="a dead letter waits"
        )
        await self._consumer.acknowledge([delivery])
