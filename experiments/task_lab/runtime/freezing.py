"""Whether a process runs, and stopping a whole family of them (SIGSTOP, SIGCONT)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from task_lab.runtime.base import ProcessState

_FROZEN_WITHIN_S = 2.0
_LOOK_EVERY_S = 0.02


def state_of(pid: int) -> ProcessState:
    """What becomes of the process of this id now; one that is only a zombie has ended."""
    with suppress(psutil.NoSuchProcess):
        status = psutil.Process(pid).status()
        if status == psutil.STATUS_STOPPED:
            return "frozen"
        if status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return "running"
    return "ended"


def freezes(pid: int) -> bool:
    """Whether a process that was told to stop does so before long; one that ended does not."""
    ends_at = time.monotonic() + _FROZEN_WITHIN_S
    while (state := state_of(pid)) == "running" and time.monotonic() < ends_at:
        time.sleep(_LOOK_EVERY_S)
    return state == "frozen"


@contextmanager
def frozen_family(pid: int) -> Iterator[int]:
    """Stop a process and all it started for the time of the block; yields how many those are.

    The parent stops first: once it stands still, its children are all there will be.
    """
    family = [psutil.Process(pid)]
    try:
        _signal_all(family, signal.SIGSTOP)
        freezes(pid)
        family += psutil.Process(pid).children(recursive=True)
        _signal_all(family, signal.SIGSTOP)
        yield len(family)
    finally:
        _signal_all(family, signal.SIGCONT)


def _signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
