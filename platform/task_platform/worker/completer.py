"""Finishing: a batch of outcomes becomes durable, then their deliveries are acknowledged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic, perf_counter
from uuid import UUID

import structlog

from task_platform.batcher import Batcher
from task_platform.domain.batching import BatchLimits, halves
from task_platform.domain.task import ClaimedTask
from task_platform.errors import BadData
from task_platform.metrics import WorkerMetrics
from task_platform.scrub import scrub
from task_platform.storage.claims import give_back
from task_platform.storage.outcomes import (
    Failure,
    Success,
    committed_outcomes,
    finish_succeeded,
    finish_unsuccessful,
)
from task_platform.storage.pool import Pool, until_available
from task_platform.worker.executor import Outcome
from task_platform.worker.leases import Leases
from task_platform.worker.work import Assignment, ClaimInHand, Delivery, GivenBack

log = structlog.get_logger()

Finished = tuple[Assignment, Outcome | GivenBack]
_Commit = Callable[[Sequence[int]], Awaitable[set[UUID]]]


class Completer:
    """Commits outcomes in groups.

    Its backlog is bounded by whoever claims: nothing is claimed while many outcomes wait.

    acknowledge: called with the deliveries whose tasks are durable, or nobody's business of ours
        any more.
    leases: hears of each claim that has no open task left, or that cannot be finished here.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: WorkerMetrics,
        *,
        worker: str,
        acknowledge: Callable[[Sequence[Delivery]], Awaitable[None]],
        leases: Leases,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._worker = worker
        self._acknowledge = acknowledge
        self._leases = leases
        self._batcher: Batcher[Finished, None] = Batcher(
            self._flush,
            BatchLimits(max_count=250, max_bytes=4_000_000),
            # One commit at a time: a claim may only be closed once all its members are durable.
            concurrency=1,
            size_of=lambda finished: len(getattr(finished[1], "result", "")),
        )

    def add(self, finished: Iterable[Finished]) -> None:
        """Take outcomes; they are committed within milliseconds while the database answers."""
        self._batcher.add_all(finished)

    @property
    def waiting(self) -> int:
        """Outcomes that nobody is committing yet."""
        return len(self._batcher)

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
            for assignment, _ in batch:
                self._leases.abandon(assignment.claim)
            await self._acknowledge([assignment.delivery for assignment, _ in batch])
        return [None] * len(batch)

    async def _commit(self, batch: Sequence[Finished]) -> None:
        closing = _closing(batch)
        kept: set[UUID] = set()
        commits = self._commits_of(batch)
        for number, commit in enumerate(commits, start=1):
            # A claim is closed together with the last of its outcomes.
            kept |= await commit(closing if number == len(commits) else [])
        self._count(batch, kept)
        for claim_id in closing:
            self._leases.closed(claim_id)
        await self._acknowledge([assignment.delivery for assignment, _ in batch])

    def _commits_of(self, batch: Sequence[Finished]) -> list[_Commit]:
        """What makes a batch durable, in order; each takes the claims to close with it."""
        successes = [outcome for _, outcome in batch if isinstance(outcome, Success)]
        failures = [outcome for _, outcome in batch if isinstance(outcome, Failure)]
        returned: dict[float, list[ClaimedTask]] = {}
        for assignment, outcome in batch:
            if isinstance(outcome, GivenBack):
                returned.setdefault(outcome.after_s, []).append(assignment.task)
        commits: list[_Commit] = []
        if successes:
            commits.append(partial(self._commit_successes, successes))
        if failures:
            commits.append(partial(self._commit_failures, failures))
        commits += [partial(self._give_back, tasks, after_s) for after_s, tasks in returned.items()]
        return commits

    async def _commit_failures(
        self, failures: Sequence[Failure], closing: Sequence[int]
    ) -> set[UUID]:
        return await self._until_committed(
            lambda: finish_unsuccessful(
                self._pool, failures, worker=self._worker, closed_claims=closing
            ),
            failures,
        )

    async def _give_back(
        self, tasks: Sequence[ClaimedTask], after_s: float, closing: Sequence[int]
    ) -> set[UUID]:
        return await self._until_committed(
            lambda: give_back(self._pool, tasks, closed_claims=closing, after_s=after_s), ()
        )

    async def _commit_successes(
        self, successes: Sequence[Success], closing: Sequence[int]
    ) -> set[UUID]:
        # What its handler committed itself needs nothing but its claim to be closed.
        own = {success.task.id for success in successes if success.is_committed}
        successes = [success for success in successes if not success.is_committed]
        if not (successes or closing):
            return own
        try:
            return own | await self._until_committed(
                lambda: finish_succeeded(self._pool, successes, closed_claims=closing), successes
            )
        except BadData as error:
            # Postgres refuses one of the results: find it, spare its neighbours.
            if len(successes) == 1:
                unusable = _unusable_result(successes[0], error)
                return own | await self._commit_failures([unusable], closing)
            left, right = halves(len(successes))
            own |= await self._commit_successes(successes[left], [])
            return own | await self._commit_successes(successes[right], closing)

    async def _until_committed(
        self,
        statement: Callable[[], Awaitable[set[UUID]]],
        outcomes: Sequence[Outcome],
    ) -> set[UUID]:
        """Repeat while the database is away: the outcome exists nowhere else.

        If the lease runs out meanwhile, the fence makes the late commit touch nothing.
        """
        tries = 0

        async def timed() -> set[UUID]:
            nonlocal tries
            tries += 1
            started = perf_counter()
            kept = await statement()
            self._metrics.commit_seconds.observe(perf_counter() - started)
            if tries > 1 and (rest := [o for o in outcomes if o.task.id not in kept]):
                # An earlier try may have been committed, and only its answer lost.
                kept |= await committed_outcomes(self._pool, rest)
            return kept

        return await until_available(timed, waiting="outcomes wait")

    def _count(self, batch: Sequence[Finished], kept: set[UUID]) -> None:
        metrics = self._metrics
        metrics.finish_batch_size.observe(len(batch))
        tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
        now = monotonic()
        for assignment, outcome in batch:
            task = assignment.task
            if isinstance(outcome, GivenBack):
                metrics.given_back.inc(task.id in kept)
                continue
            if task.id not in kept:
                metrics.lost_updates.inc()
                continue
            tally = tallies[metrics.label(task.task_type)]
            tally.queue_wait_s.append(_seconds(task.due_at, outcome.started_at))
            if isinstance(outcome, Success):
                tally.service_s.append(outcome.service_s)
            elif outcome.is_dead:
                tally.failed += 1
            else:
                tally.retried += 1
                continue
            since_claim_s = now - assignment.claimed_mono
            tally.end_to_end_s.append(_seconds(task.created_at, task.claimed_at) + since_claim_s)
        for label, tally in tallies.items():
            metrics.queue_wait.labels(label).observe_all(tally.queue_wait_s)
            metrics.service_time.labels(label).observe_all(tally.service_s)
            metrics.end_to_end.labels(label).observe_all(tally.end_to_end_s)
            metrics.processed.labels(label).inc(len(tally.service_s))
            metrics.failed.labels(label).inc(tally.failed)
            metrics.retried.labels(label).inc(tally.retried)


@dataclass(slots=True)
class _Tally:
    """What became of the tasks of one type in one batch.

    service_s: of those that succeeded. end_to_end_s: of those that are terminal.
    """

    queue_wait_s: list[float] = field(default_factory=list)
    service_s: list[float] = field(default_factory=list)
    end_to_end_s: list[float] = field(default_factory=list)
    failed: int = 0
    retried: int = 0


def _closing(batch: Sequence[Finished]) -> list[int]:
    """Note the tasks of a batch as finished; returns the claims that have none open any more."""
    claims: dict[ClaimInHand, None] = {}
    for assignment, _ in batch:
        assignment.claim.open_tasks -= 1
        claims[assignment.claim] = None
    return [c.claim_id for c in claims if c.open_tasks == 0 and not c.is_abandoned]


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _unusable_result(success: Success, error: BadData) -> Failure:
    return Failure(
        task=success.task,
        error_type="InvalidResult",
        message=scrub(f"the database refuses the result: {error}".partition("\n")[0]),
        retry_in_s=None,
        started_at=success.started_at,
        ended_at=success.ended_at,
    )
