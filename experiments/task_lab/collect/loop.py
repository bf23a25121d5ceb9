"""An event loop in a thread of its own, for synchronous callers of asynchronous drivers.

A notebook's kernel already runs a loop, in which a library call cannot wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

R = TypeVar("R")


class LoopThread:
    """Runs coroutines for other threads until `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R], timeout_s: float | None = None) -> R:
        """The coroutine's result. Raises what it raises, or TimeoutError.

        An exception in the waiting thread (Ctrl-C, too) cancels the work.
        """
        future = self.spawn(work)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def spawn(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Start the coroutine and return at once; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Cancel what still runs, wait for its clean-up and end the thread. Idempotent."""
        if self._loop.is_closed():
            return
        self.run(_cancel_others(), timeout_s=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
