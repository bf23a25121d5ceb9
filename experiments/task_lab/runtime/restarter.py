"""Starts processes of the platform again when they end, as a container engine would.

A process that a fault keeps down is held, and left alone until it is released.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from task_lab.runtime.platform_process import PlatformProcess

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended without being held. exit_code: negative for a signal."""

    at: float
    name: str
    job: str
    exit_code: int


class Restarter:
    """Watches the processes in a thread of its own, for the time of a `with` block.

    listener: is told each death, from that thread.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[PlatformProcess]],
        listener: Callable[[Death], None],
    ) -> None:
        self._processes = processes
        self._listener = listener
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="restarter", daemon=True)

    def hold(self, name: str) -> None:
        """Leave this process alone from now on, dead or alive."""
        with self._lock:
            self._held.add(name)

    def release(self, name: str) -> None:
        """Watch this process again."""
        with self._lock:
            self._held.discard(name)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with self._lock:
                for process in self._processes():
                    exit_code = process.exit_code
                    if exit_code is not None and process.name not in self._held:
                        self._listener(Death(time.time(), process.name, process.job, exit_code))
                        process.start()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
