"""Slots: the handlers that run at once, and the claimed tasks in line for one.

What is claimed is never forgotten: every assignment leaves with an outcome, is taken back, or is
reported broken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

import structlog

from task_platform.worker.executor import Executor, Outcome
from task_platform.worker.work import Assignment, ClaimInHand

log = structlog.get_logger()


class Slots:
    """Runs assignments that need waiting, `concurrency` at once.

    A thread that ran past its limit keeps its slot: it is still at work.

    done: called with an assignment that ended and its outcome, as a pair.
    broken: called with an assignment that ended without one, through no fault of its handler.
    """

    def __init__(
        self,
        executor: Executor,
        concurrency: int,
        *,
        done: Callable[[tuple[Assignment, Outcome]], None],
        broken: Callable[[Assignment], None],
    ) -> None:
        self._executor = executor
        self._concurrency = concurrency
        self._done = done
        self._broken = broken
        self._line: deque[Assignment] = deque()
        self._running: set[Assignment] = set()
        self.changed = asyncio.Event()
        self._reserved_mono: float | None = None
        self._full_mono: float | None = None
        self._longest_s = 0.0

    @property
    def running(self) -> Collection[Assignment]:
        """What is being run."""
        return self._running

    @property
    def in_line(self) -> int:
        """How many wait for a slot."""
        return len(self._line)

    @property
    def usable(self) -> int:
        """Slots that will become free again."""
        return max(0, self._concurrency - self._executor.stuck_threads)

    @property
    def offered(self) -> int:
        """Slots that the next tasks can have."""
        return self.usable if self._reserved_mono is None else 0

    @property
    def reserved_s(self) -> float:
        """For how long the slots have been kept for one task that must run alone."""
        return 0.0 if self._reserved_mono is None else monotonic() - self._reserved_mono

    def are_stalled(self, after_s: float) -> bool:
        """Whether nothing in line could be started for so long, for one reason or the other.

        Where every slot is merely taken by long tasks, for twice as long as the longest has run.
        """
        full_s = 0.0 if self._full_mono is None else monotonic() - self._full_mono
        return self.reserved_s > after_s or full_s > max(after_s, 2 * self._longest_s)

    @property
    def oldest_s(self) -> float:
        """For how long the oldest of those that run has been claimed."""
        now = monotonic()
        return now - min((one.claimed_mono for one in self._running), default=now)

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """A block in which the slots are kept for one task that must run alone."""
        self._reserved_mono = monotonic()
        try:
            yield
        finally:
            self._reserved_mono = None

    @property
    def is_idle(self) -> bool:
        return not (self._running or self._line)

    def line_up(self, assignments: Iterable[Assignment]) -> None:
        """Run these as soon as there are slots."""
        self._line.extend(assignments)
        self.fill()

    def fill(self) -> None:
        """Start what can be started, and let `changed` tell that something was."""
        has_started = False
        while self._line and len(self._running) < self.usable:
            has_started = True
            assignment = self._line.popleft()
            self._running.add(assignment)
            assignment.running = asyncio.create_task(self._run(assignment))
        if len(self._running) < self.usable:
            self._full_mono = None
        elif has_started or self._full_mono is None:
            self._full_mono = monotonic()
        self.changed.set()

    def waiting(self, *, since: float) -> int:
        """How many in line were delivered at this monotonic instant, or before."""
        return sum(assignment.delivery.arrived_mono <= since for assignment in self._line)

    def take_last(self, count: int) -> list[Assignment]:
        """Up to `count` of those in line, the last to be started; they are the caller's now."""
        taken = [self._line.pop() for _ in range(min(count, len(self._line)))]
        self.changed.set()
        return taken

    def withdraw(self, claim: ClaimInHand) -> list[Assignment]:
        """Stop whatever belongs to this claim; returns it."""
        waiting = [assignment for assignment in self._line if assignment.claim is claim]
        for assignment in waiting:
            assignment.is_withdrawn = True
            self._line.remove(assignment)
        running = [assignment for assignment in self._running if assignment.claim is claim]
        self.changed.set()
        return waiting + _interrupted(running)

    async def interrupt(self, *, grace_s: float, end_within_s: float) -> list[Assignment]:
        """Let the running ones end, then interrupt them and wait for that, each so long at most.

        Returns those that were interrupted; who is still among `running` has not ended.
        """
        await self._ended(grace_s)
        interrupted = _interrupted(self._running)
        await self._ended(end_within_s)
        return interrupted

    async def _ended(self, within_s: float) -> None:
        running = {assignment.running for assignment in self._running if assignment.running}
        if running:
            await asyncio.wait(running, timeout=within_s)

    async def _run(self, assignment: Assignment) -> None:
        try:
            began = monotonic()
            outcome = await self._executor.run(assignment)
            self._longest_s = max(self._longest_s, monotonic() - began)
            if assignment.is_completing or not assignment.is_withdrawn:
                self._done((assignment, outcome))
        except Exception as error:
            log.error("no outcome", task_id=str(assignment.task.id), exc_info=error)
            self._broken(assignment)
        finally:
            self._running.discard(assignment)
            self.fill()


def _interrupted(assignments: Iterable[Assignment]) -> list[Assignment]:
    """Interrupt those that can be interrupted, and return them."""
    interrupted = [assignment for assignment in assignments if not assignment.is_completing]
    for assignment in interrupted:
        assignment.is_withdrawn = True
        if assignment.running is not None:
            assignment.running.cancel()
    return interrupted
