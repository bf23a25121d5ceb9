"""Finishing: a batch of outcomes becomes durable, then their deliveries are acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import perf_counter
from uuid import UUID

import structlog

from task_platform.batcher import Batcher
from task_platform.domain.batching import BatchLimits, halves
from task_platform.errors import BadData
from task_platform.metrics import WorkerMetrics
from task_platform.storage.outcomes import (
    Failure,
    Success,
    finish_succeeded,
    finish_unsuccessful,
)
from task_platform.storage.pool import Pool, until_available
from task_platform.worker.executor import Outcome
from task_platform.worker.work import Assignment, Delivery

log = structlog.get_logger()

Finished = tuple[Assignment, Outcome]


class Completer:
    """Commits outcomes in groups.

    acknowledge: called with the deliveries whose tasks are durable, or nobody's business of ours
        any more.
    closed: called with each claim that has no open task left, or must not be renewed any more.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: WorkerMetrics,
        *,
        worker: str,
        acknowledge: Callable[[Sequence[Delivery]], Awaitable[None]],
        closed: Callable[[int], None],
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._worker = worker
        self._acknowledge = acknowledge
        self._closed = closed
        self._batcher: Batcher[Finished, None] = Batcher(
            self._flush,
            BatchLimits(max_count=250, max_bytes=4_000_000, max_backlog=100_000),
            # One commit at a time: a claim may only be closed once all its members are durable.
            concurrency=1,
            size_of=lambda finished: len(getattr(finished[1], "result", "")),
        )

    def add(self, assignment: Assignment, outcome: Outcome) -> None:
        """Take an outcome; it is committed within milliseconds while the database answers."""
        self._batcher.add((assignment, outcome))

    async def drain(self) -> None:
        """Return once every outcome taken has been committed."""
        await self._batcher.drain()

    async def _flush(self, batch: Sequence[Finished]) -> Sequence[None]:
        try:
            await self._commit(batch)
        except Exception as error:
            # Nothing that waiting would mend. Without their leases the tasks come back through the
            # reaper, and one that can never be committed runs out of attempts.
            log.error("outcomes could not be committed", tasks=len(batch), exc_info=error)
            for claim_id in {assignment.claim.claim_id for assignment, _ in batch}:
                self._closed(claim_id)
            await self._acknowledge([assignment.delivery for assignment, _ in batch])
        return [None] * len(batch)

    async def _commit(self, batch: Sequence[Finished]) -> None:
        closing = []
        for assignment, _ in batch:
            assignment.claim.open_tasks -= 1
            if assignment.claim.open_tasks == 0:
                closing.append(assignment.claim.claim_id)
        successes = [outcome for _, outcome in batch if isinstance(outcome, Success)]
        failures = [outcome for _, outcome in batch if isinstance(outcome, Failure)]
        kept = await self._commit_successes(successes, [] if failures else closing)
        if failures:
            kept |= await self._until_committed(
                lambda: finish_unsuccessful(
                    self._pool, failures, worker=self._worker, closed_claims=closing
                )
            )
        self._count(batch, kept)
        for claim_id in closing:
            self._closed(claim_id)
        await self._acknowledge([assignment.delivery for assignment, _ in batch])

    async def _commit_successes(
        self, successes: Sequence[Success], closing: Sequence[int]
    ) -> set[UUID]:
        if not successes:
            return set()
        try:
            return await self._until_committed(
                lambda: finish_succeeded(self._pool, successes, closed_claims=closing)
            )
        except BadData as error:
            # Postgres refuses one of the results: find it, spare its neighbours.
            if len(successes) == 1:
                unusable = _unusable_result(successes[0], error)
                return await self._until_committed(
                    lambda: finish_unsuccessful(
                        self._pool, [unusable], worker=self._worker, closed_claims=closing
                    )
                )
            left, right = halves(len(successes))
            kept = await self._commit_successes(successes[left], [])
            return kept | await self._commit_successes(successes[right], closing)

    async def _until_committed(self, statement: Callable[[], Awaitable[set[UUID]]]) -> set[UUID]:
        """Repeat while the database is away: the outcome exists nowhere else.

        If the lease runs out meanwhile, the fence makes the late commit touch nothing.
        """

        async def timed() -> set[UUID]:
            started = perf_counter()
            kept = await statement()
            self._metrics.commit_seconds.observe(perf_counter() - started)
            return kept

        return await until_available(timed, waiting="outcomes wait")

    def _count(self, batch: Sequence[Finished], kept: set[UUID]) -> None:
        metrics = self._metrics
        metrics.finish_batch_size.observe(len(batch))
        succeeded: Counter[str] = Counter()
        for assignment, outcome in batch:
            task = outcome.task
            if task.id not in kept:
                metrics.lost_updates.inc()
                continue
            label = metrics.label(task.task_type)
            ended_at = assignment.now()
            metrics.queue_wait.labels(label).observe(_seconds(task.due_at, outcome.started_at))
            match outcome:
                case Success():
                    succeeded[label] += 1
                    metrics.service_time.labels(label).observe(
                        _seconds(outcome.started_at, outcome.ended_at)
                    )
                    metrics.end_to_end.labels(label).observe(_seconds(task.created_at, ended_at))
                case Failure(is_dead=True):
                    metrics.failed.labels(label).inc()
                    metrics.end_to_end.labels(label).observe(_seconds(task.created_at, ended_at))
                case Failure():
                    metrics.retried.labels(label).inc()
        for label, count in succeeded.items():
            metrics.processed.labels(label).inc(count)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _unusable_result(success: Success, error: BadData) -> Failure:
    return Failure(
        task=success.task,
        error_type="InvalidResult",
        message=f"the database refuses the result: {error}"[:500],
        retry_in_s=None,
        started_at=success.started_at,
        ended_at=success.ended_at,
    )
