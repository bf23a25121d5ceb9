"""Counting all tasks by state, on a table where no index knows a state.

Ids are walked in windows. A terminal task stays terminal, so what has been counted is remembered in
chunks of neighbouring ids, and of an old chunk only the open tasks are asked for again: by their
ids where they are few, so that those waiting for a late retry keep nothing else from being history;
else with the whole chunk. The youngest ids are counted at every look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass, field
from math import nan
from time import monotonic, time
from uuid import UUID

from task_platform.domain.task import State
from task_platform.metrics import BACKLOG, LEDGER, RelayMetrics
from task_platform.relay.reannounce import uuid7_floor
from task_platform.storage.census import Counted, CountedWindow, census_tasks, census_window
from task_platform.storage.pool import Pool

EVERY_S = 2.0
# Rows that one statement looks at: some milliseconds.
_WINDOW = 10_000
# Ids are made before their commit: what is this young is counted anew each time.
_SETTLED_AFTER_S = 15.0
# So many open tasks of each state are asked for by their ids, in one chunk and in all of them. An
# id costs about four times as much as its row in a window.
_FEW, _MOST_REMEMBERED = 1_000, 10_000
# The census may take this share of the time, but figures shall not grow old because of it.
_DUTY = 0.02
_LONGEST_PAUSE_S = 60.0
_PAUSE_AFTER_FAILURE_S = 10.0
# A count that takes longer goes on at the next look, where it stood. The first one, of all there
# is, takes short turns and no pauses but those between two looks: a tenth of the time.
_TURN_S, _FIRST_TURN_S = 10.0, 0.2
# Figures of a count older than this are not true any more.
_STALE_S = 300.0
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(eq=False, slots=True)
class _Chunk:
    """Neighbouring ids, and what was counted among them.

    tasks: how many there were. open_ids: those to ask for.
    is_dense: whether there are too many of those to be remembered, so that all is counted again.
    """

    after: UUID
    upto: UUID
    tasks: int = 0
    finished: Counter[State] = field(default_factory=Counter)
    open_ids: set[UUID] = field(default_factory=set)
    is_dense: bool = False


@dataclass(slots=True)
class _Tally:
    """What one count has found so far: the open tasks, and those terminal ones that are young."""

    tasks: Counter[State] = field(default_factory=Counter)
    young: Counter[State] = field(default_factory=Counter)
    oldest_s: float = 0.0

    def add(self, counted: Counted) -> None:
        self.tasks.update(counted.tasks)
        self.oldest_s = max(self.oldest_s, counted.oldest_s)


class Census:
    """Keeps the figures of the backlog and of the ledger."""

    def __init__(self, pool: Pool, metrics: RelayMetrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._chunks: list[_Chunk] = []
        self._mark = _LOWEST
        # Terminal tasks up to the mark; deleting them later does not change it.
        self._finished: Counter[State] = Counter()
        self._told: Counter[State] = Counter()
        self._remembered = 0
        self._next_old = 0
        self._counting: AsyncGenerator[None, None] | None = None
        self._has_counted = False
        self._counted_at = monotonic()
        self._not_before = 0.0

    async def run_pass(self) -> bool:
        """Count, when it is time to. Never asks to be repeated at once.

        Raises DatabaseUnavailable.
        """
        began = monotonic()
        if began < self._not_before:
            return False
        ends_at = began + (_TURN_S if self._has_counted else _FIRST_TURN_S)
        self._not_before = began + _PAUSE_AFTER_FAILURE_S
        counting, self._counting = self._counting or self._count(), None
        try:
            async for _ in counting:
                if monotonic() >= ends_at:
                    self._counting = counting
                    break
        finally:
            if monotonic() - self._counted_at > _STALE_S:
                self._forget()
        ended = monotonic()
        pause_s = (ended - began) * (1 / _DUTY - 1) if self._has_counted else 0.0
        self._not_before = ended + min(pause_s, _LONGEST_PAUSE_S)
        return False

    async def close(self) -> None:
        """Leave a count that stands in the middle."""
        if self._counting is not None:
            await self._counting.aclose()

    async def _count(self) -> AsyncGenerator[None, None]:
        """Count all there is, a statement at each step, and tell it at the end."""
        tally = _Tally()
        await self._ask_for_remembered(tally)
        yield
        position = 0
        while position < len(self._chunks):
            if self._chunks[position].is_dense:
                tally.add(await self._count_again(position))
                yield
            position += 1
        while True:
            before = uuid7_floor(time() - _SETTLED_AFTER_S)
            window = await self._window(self._mark, before)
            tally.add(window)
            self._settle(window)
            yield
            if _size(window) < _WINDOW:
                break
        after = self._mark
        while True:
            window = await self._window(after, _HIGHEST)
            tally.add(window)
            tally.young.update(window.finished)
            yield
            if window.last_scanned is None or _size(window) < _WINDOW:
                break
            after = window.last_scanned
        self._tell(tally)
        await self._look_at_history()

    async def _window(self, after: UUID, before: UUID) -> CountedWindow:
        return await census_window(self._pool, after=after, before=before, window=_WINDOW, few=_FEW)

    async def _ask_for_remembered(self, tally: _Tally) -> None:
        remembered = {task_id: chunk for chunk in self._chunks for task_id in chunk.open_ids}
        if not remembered:
            return
        counted, ended = await census_tasks(self._pool, remembered)
        tally.add(counted)
        for task_id, state in ended.items():
            chunk = remembered[task_id]
            chunk.open_ids.remove(task_id)
            self._remembered -= 1
            chunk.finished[state] += 1
            self._finished[state] += 1

    async def _count_again(self, position: int) -> CountedWindow:
        """Look at a chunk that was counted before. What is gone from it has been counted.

        One that has grown is cut, and the rest of it follows as one that is to be counted again.
        """
        chunk = self._chunks[position]
        window = await self._window(chunk.after, UUID(int=chunk.upto.int + 1))
        now, before = Counter(window.finished), chunk.finished
        self._finished.update(now - before)
        if _size(window) == _WINDOW and window.last_scanned not in (None, chunk.upto):
            rest = _Chunk(window.last_scanned, chunk.upto, finished=before - now, is_dense=True)
            self._chunks.insert(position + 1, rest)
            chunk.upto = window.last_scanned
        chunk.tasks, chunk.finished = _size(window), now
        self._remember(chunk, window.open_ids)
        return window

    def _settle(self, window: CountedWindow) -> None:
        """Take a window as counted: as a chunk, or as more of the last one while that is small."""
        if window.last_scanned is None:
            return
        if not self._chunks or self._chunks[-1].tasks + _size(window) > _WINDOW:
            self._chunks.append(_Chunk(self._mark, self._mark))
        chunk = self._chunks[-1]
        chunk.upto = self._mark = window.last_scanned
        chunk.tasks += _size(window)
        chunk.finished.update(window.finished)
        self._finished.update(window.finished)
        if window.open_ids is None or chunk.is_dense:
            self._remember(chunk, None)
        else:
            self._remember(chunk, chunk.open_ids | window.open_ids)

    def _remember(self, chunk: _Chunk, open_ids: Collection[UUID] | None) -> None:
        """Ask for these from now on; where they are too many (None), for the whole chunk."""
        self._remembered -= len(chunk.open_ids)
        room = _MOST_REMEMBERED - self._remembered
        chunk.is_dense = open_ids is None or len(open_ids) > room
        chunk.open_ids = set() if open_ids is None or chunk.is_dense else set(open_ids)
        self._remembered += len(chunk.open_ids)

    async def _look_at_history(self) -> None:
        """Count one old chunk again, each in turn: a task may have come late."""
        if not self._chunks:
            return
        position = self._next_old = (self._next_old + 1) % len(self._chunks)
        if self._chunks[position].is_dense:
            return
        window = await self._count_again(position)
        if window.last_scanned is None and position < len(self._chunks) - 1:
            del self._chunks[position]

    def _tell(self, tally: _Tally) -> None:
        self._has_counted = True
        self._counted_at = monotonic()
        for name in BACKLOG:
            self._metrics.backlog.labels(name).set(tally.tasks[State(name.upper())])
        self._metrics.backlog_age.set(tally.oldest_s)
        for name in LEDGER:
            state = State(name.upper())
            news = self._finished[state] + tally.young[state] - self._told[state]
            self._metrics.ledger.labels(name).inc(max(0, news))
            self._told[state] += max(0, news)

    def _forget(self) -> None:
        for name in BACKLOG:
            self._metrics.backlog.labels(name).set(nan)
        self._metrics.backlog_age.set(nan)


def _size(window: CountedWindow) -> int:
    return sum(window.tasks.values())
