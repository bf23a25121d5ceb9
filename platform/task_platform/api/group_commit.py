"""Concurrent submissions share a commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from task_platform.api.announcements import Announcements
from task_platform.api.deadlines import Deadlines
from task_platform.batcher import Batcher
from task_platform.domain.batching import BatchLimits, halves
from task_platform.domain.task import NewTask
from task_platform.errors import (
    BadData,
    InvalidInput,
    Overloaded,
)
from task_platform.metrics import ApiMetrics
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import Submitted, submit_tasks

# At 2,250 submissions a second, on two cores, 0.55 ms of CPU for each from here to its result, and
# results after 16 ms (95 of 100) instead of 0.68 and 23 ms with 4 ms whatever the batch, though the
# submission itself is answered 2 ms later. At 400 a second nobody waits: 3.2 ms instead of 5.4.
APART_S = 0.008
APART_PER_MEMBER_S = 0.001
# Clients that wait for their answers, 64 at a time, make two batches of it: one waits for its
# commit while the other is answered. With 8 ms and no such bound they would be 8,000/s at most.
COMPANY = 32


class GroupCommit:
    """Commits submissions in groups; an idle one commits at once."""

    def __init__(
        self, pool: Pool, settings: Settings, metrics: ApiMetrics, announcements: Announcements
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._announcements = announcements
        self._batcher: Batcher[NewTask, Submitted] = Batcher(
            self._commit,
            BatchLimits(
                max_count=250,
                max_bytes=4_000_000,
                apart_s=APART_S,
                apart_per_member_s=APART_PER_MEMBER_S,
                company=COMPANY,
                max_backlog=settings.commit_backlog,
            ),
            concurrency=settings.commit_concurrency,
            size_of=lambda task: len(task.payload),
        )
        self._deadlines = Deadlines(settings.submit_timeout_s)
        self._batch_calls = asyncio.Semaphore(settings.commit_concurrency)
        self._waiting_in_batches = 0
        metrics.waiting.set_function(lambda: len(self._batcher) + self._waiting_in_batches)

    async def submit(self, task: NewTask) -> Submitted:
        """Commit one submission. Raises Overloaded, DatabaseUnavailable, InvalidInput."""
        started = perf_counter()
        outcome = await self._deadlines.kept(self._batcher.add(task))
        self._metrics.submit_seconds.observe(perf_counter() - started)
        return outcome

    async def submit_batch(self, tasks: Sequence[NewTask]) -> Sequence[Submitted | Exception]:
        """Commit a client's own batch as one; an outcome or error for each, in order."""
        try:
            async with asyncio.timeout(self._settings.submit_timeout_s), self._turn_of(len(tasks)):
                return await self._commit(tasks)
        except TimeoutError:
            raise Overloaded("not committed in time") from None

    @asynccontextmanager
    async def _turn_of(self, tasks: int) -> AsyncIterator[None]:
        """A client's batch waits for its turn, and has it for the time of the block."""
        self._waiting_in_batches += tasks
        try:
            await self._batch_calls.acquire()
        finally:
            self._waiting_in_batches -= tasks
        try:
            yield
        finally:
            self._batch_calls.release()

    async def drain(self) -> None:
        """Return once everything taken has been committed or refused."""
        await self._batcher.drain()

    async def _commit(self, tasks: Sequence[NewTask]) -> Sequence[Submitted | Exception]:
        started = perf_counter()
        try:
            outcomes, commits = await submit_tasks(
                self._pool,
                tasks,
                grace_s=self._settings.outbox_grace_s,
                key_ttl_s=self._settings.idempotency_ttl_s,
            )
        except BadData:
            # Postgres refuses a value that validation let pass: find it, spare its neighbours.
            if len(tasks) == 1:
                return [InvalidInput("a value cannot be stored")]
            left, right = halves(len(tasks))
            return [*await self._commit(tasks[left]), *await self._commit(tasks[right])]
        self._metrics.commit_batch_size.observe(len(tasks))
        self._metrics.commit_seconds.observe(perf_counter() - started)
        for commit in commits:
            self._announcements.add(commit)
        return outcomes
