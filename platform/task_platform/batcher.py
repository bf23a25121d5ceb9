"""Members wait together and go together: the asyncio shell around `domain.batching`.

Group commit (API) and completion (worker) share its contract: an idle batcher flushes at once, and
so does one whose members come one by one; a full batch, or what counts as company, never waits;
the backlog is bounded; a
failed batch fails its own members only; the last flush happens during drain; a member whose caller
gave up before its batch was cut is dropped.
How a failure is treated (halving, requeueing) is the flush's own business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from task_platform.domain.batching import BatchLimits, Spacing, has_company, members_to_flush
from task_platform.errors import Overloaded

M = TypeVar("M")
R = TypeVar("R")


class Batcher(Generic[M, R]):
    """Collects members and hands them to `flush` in batches, a few batches at a time.

    flush: takes the members and returns one result (or exception) per member, in order. An
        exception it raises fails the members of that batch.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[M]], Awaitable[Sequence[R | Exception]]],
        limits: BatchLimits,
        *,
        concurrency: int = 1,
        size_of: Callable[[M], int] = lambda _: 0,
    ) -> None:
        self._flush = flush
        self._limits = limits
        self._concurrency = concurrency
        self._size_of = size_of
        self._waiting: deque[tuple[M, int, asyncio.Future[R] | None]] = deque()
        self._waiting_bytes = 0
        self._flushing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._spacing = Spacing(limits)
        self._is_draining = False
        self._settled = asyncio.Event()
        self._settled.set()

    def add(self, member: M) -> asyncio.Future[R]:
        """Queue a member; the future brings its result. Raises Overloaded when too many wait."""
        if len(self._waiting) >= self._limits.max_backlog:
            raise Overloaded(f"{len(self._waiting)} are waiting already")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._append([member], future)
        return future

    def add_all(self, members: Iterable[M]) -> None:
        """Queue members whose results nobody asks for, and however many wait."""
        self._append(members, None)

    def _append(self, members: Iterable[M], future: asyncio.Future[R] | None) -> None:
        for member in members:
            size = self._size_of(member)
            self._waiting.append((member, size, future))
            self._waiting_bytes += size
        if self._waiting:
            self._settled.clear()
            self._start_batches()

    async def drain(self) -> None:
        """Return once everything that was added has been flushed."""
        self._is_draining = True
        try:
            self._start_batches()
            await self._settled.wait()
        finally:
            self._is_draining = False

    def __len__(self) -> int:
        return len(self._waiting)

    def _start_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._flushing) < self._concurrency:
            may_go = self._is_draining or has_company(
                len(self._waiting), self._waiting_bytes, self._limits
            )
            if not may_go and (pause_s := self._spacing.pause_s(loop.time())):
                if self._timer is None:
                    self._timer = loop.call_later(pause_s, self._on_timer)
                return
            task = asyncio.create_task(self._run_batch())
            self._flushing.add(task)
            task.add_done_callback(self._on_batch_done)

    def _on_timer(self) -> None:
        self._timer = None
        self._start_batches()

    def _on_batch_done(self, task: asyncio.Task[None]) -> None:
        self._flushing.discard(task)
        if self._waiting:
            self._start_batches()
        elif not self._flushing:
            self._settled.set()

    async def _run_batch(self) -> None:
        # Cut here, not when the task was made: members added meanwhile still catch this batch.
        batch = self._cut_batch()
        if not batch:
            return
        self._spacing.note(len(batch), asyncio.get_running_loop().time())
        outcomes: Sequence[R | Exception]
        try:
            outcomes = await self._flush([member for member, _, _ in batch])
        except Exception as error:
            outcomes = [error] * len(batch)
        for (_, _, future), outcome in zip(batch, outcomes, strict=True):
            if future is None or future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _cut_batch(self) -> list[tuple[M, int, asyncio.Future[R] | None]]:
        """Take the next batch off the backlog, without those whose callers have gone."""
        candidates: list[tuple[M, int, asyncio.Future[R] | None]] = []
        while self._waiting and len(candidates) < self._limits.max_count:
            entry = self._waiting.popleft()
            self._waiting_bytes -= entry[1]
            if entry[2] is None or not entry[2].done():
                candidates.append(entry)
        count = members_to_flush([size for _, size, _ in candidates], self._limits)
        for entry in reversed(candidates[count:]):
            self._waiting.appendleft(entry)
            self._waiting_bytes += entry[1]
        return candidates[:count]
