"""Starts processes of the platform again when they end, as a container engine would.

A process that a fault keeps down is held, and left alone until it is released.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from task_lab.runtime.platform_process import PlatformProcess

_LOOK_EVERY_S = 0.1
# Enough doublings to reach any pause there could be.
_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended without being held. exit_code: negative for a signal.

    pause_s: how long it stays down.
    """

    at: float
    name: str
    job: str
    exit_code: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a process stays down: doubled from death to death, from first_s up to most_s.

    calm_s: a life of so many seconds makes the next death a first one again.
    """

    first_s: float = 0.0
    most_s: float = 0.0
    calm_s: float = 0.0

    def after(self, deaths: int) -> float:
        """Seconds to wait after so many deaths in a row (from 1)."""
        return min(self.most_s, self.first_s * 2.0 ** min(deaths - 1, _MOST_DOUBLINGS))


AT_ONCE = Pauses()
# What cannot start at all should not keep a core busy with trying.
GROWING = Pauses(first_s=0.5, most_s=30.0, calm_s=60.0)


@dataclass(slots=True)
class _Life:
    """What is known of one process. due_at: when to start it again, None while it runs."""

    since: float
    deaths: int = 0
    restarts: int = 0
    due_at: float | None = None


class Restarter:
    """Watches the processes in a thread of its own, for the time of a `with` block.

    listener: is told each death, from that thread.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[PlatformProcess]],
        listener: Callable[[Death], None],
        *,
        pauses: Pauses = AT_ONCE,
    ) -> None:
        self._processes = processes
        self._listener = listener
        self._pauses = pauses
        self._lives: dict[str, _Life] = {}
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

    def restarts(self) -> Mapping[str, int]:
        """How often each process has been started again, by its name; those that never were not."""
        with self._lock:
            return +Counter({name: life.restarts for name, life in self._lives.items()})

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with self._lock:
                for process in self._processes():
                    self._look_at(process)

    def _look_at(self, process: PlatformProcess) -> None:
        now = time.monotonic()
        life = self._lives.setdefault(process.name, _Life(since=now))
        exit_code = process.exit_code
        if exit_code is None:
            life.due_at = None
            return
        if process.name in self._held:
            return
        if life.due_at is None:
            is_first = now - life.since >= self._pauses.calm_s
            life.deaths = 1 if is_first else life.deaths + 1
            pause_s = self._pauses.after(life.deaths)
            life.due_at = now + pause_s
            self._listener(Death(time.time(), process.name, process.job, exit_code, pause_s))
        if now >= life.due_at:
            process.start()
            life.since, life.due_at = now, None
            life.restarts += 1

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
