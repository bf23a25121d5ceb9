"""From deliveries to claimed tasks: what can be claimed is run, the rest is let go or set aside."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic, perf_counter

import structlog

from task_platform.metrics import WorkerMetrics
from task_platform.settings import Settings
from task_platform.storage.claims import bury_rowless, claim_tasks, existing_tasks
from task_platform.storage.pool import Pool, until_available
from task_platform.worker.consumer import Consumer
from task_platform.worker.work import Assignment, ClaimInHand, Delivery

log = structlog.get_logger()

MAX_CLAIM = 250
# A message without a row is not judged at once: a replica promoted late, or a database restored
# from a backup, may still bring the row.
ROWLESS_LOOKS = 5
ROWLESS_PAUSE_S = 1.0


class Intake:
    """Claims deliveries, in batches; tasks that must be alone are claimed one by one."""

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        metrics: WorkerMetrics,
        consumer: Consumer,
        *,
        worker: str,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._consumer = consumer
        self._worker = worker
        self._to_isolate: deque[Delivery] = deque()
        self._watching_rowless: set[asyncio.Task[None]] = set()

    @property
    def has_isolated(self) -> bool:
        """Whether a task is waiting that may only run with nothing beside it."""
        return bool(self._to_isolate)

    async def claim_batch(self, room: int) -> list[Assignment]:
        """Claim up to `room` of the waiting deliveries; waits while the database is away."""
        deliveries = self._consumer.take(min(room, MAX_CLAIM))
        if not deliveries:
            await self._consumer.acknowledge(())
            return []
        return await self._claim(deliveries)

    async def claim_isolated(self, *, in_company: bool) -> list[Assignment]:
        """Claim the next task that must be alone; in_company: something runs beside it anyway."""
        delivery = self._to_isolate.popleft()
        return await self._claim([delivery], alone=True, in_company=in_company)

    def close(self) -> None:
        """Stop waiting for missing rows; the broker delivers those messages again."""
        for task in self._watching_rowless:
            task.cancel()

    async def _claim(
        self, deliveries: Sequence[Delivery], *, alone: bool = False, in_company: bool = False
    ) -> list[Assignment]:
        # One task may be announced twice; its first delivery speaks for it.
        first = {delivery.task_id: delivery for delivery in reversed(deliveries)}
        started = perf_counter()
        claim = await until_available(
            lambda: claim_tasks(
                self._pool,
                first,
                owner=self._worker,
                lease_s=self._settings.lease_s,
                alone=alone,
                in_company=in_company,
            ),
            waiting="claims wait",
        )
        claimed_mono = monotonic()
        self._metrics.claim_seconds.observe(perf_counter() - started)
        in_hand = ClaimInHand(claim.claim_id or 0, len(claim.tasks))
        assignments = [
            Assignment(task, in_hand, first.pop(task.id), claimed_mono) for task in claim.tasks
        ]
        if assignments:
            self._metrics.claim_batch_size.observe(len(assignments))
        self._to_isolate.extend(first.pop(task_id) for task_id in claim.must_be_alone)
        if len(deliveries) > len(assignments) + len(claim.must_be_alone):
            kept = {assignment.delivery for assignment in assignments} | set(self._to_isolate)
            await self._let_go([delivery for delivery in deliveries if delivery not in kept])
        return assignments

    async def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what cannot be claimed: whoever owns the row, or the reaper, brings it back.

        Only a delivery without any row is kept for a while.
        """
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
                task.add_done_callback(self._watching_rowless.discard)

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
