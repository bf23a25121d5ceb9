"""One time limit for many who wait: who came first is late first, so one timer serves them all.

`asyncio.timeout` sets and cancels a timer for each: 5 µs a submission, where this takes 0.5 µs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar

from task_platform.errors import Overloaded

T = TypeVar("T")

# Somebody late is told so at latest after this share of the limit.
_LOOKS = 20


class Deadlines:
    """Futures that get an answer within `limit_s`, if only that it took too long."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._waiting: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def kept(self, future: asyncio.Future[T]) -> T:
        """What the future brings. Raises Overloaded when that does not come in time."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._limit_s, future))  # type: ignore[arg-type]
        if self._timer is None:
            self._timer = loop.call_later(self._limit_s / _LOOKS, self._look)
        return await future

    def _look(self) -> None:
        """Tell those who are late; forget those who have their answer, as far as they lead."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting:
            late_at, future = self._waiting[0]
            if not future.done():
                if late_at > now:
                    break
                future.set_exception(Overloaded("not committed in time"))
            self._waiting.popleft()
        self._timer = None
        if self._waiting:
            self._timer = loop.call_later(self._limit_s / _LOOKS, self._look)
