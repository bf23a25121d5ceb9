"""The bare loops' drain by the one clock: released, warm and connected, before a full queue.

Their recipe stays as it is (its hash names a series of figures): its own processes are started,
stopped and released from outside. Its own figures begin with the first claim, and cold; these are
for comparing it with others in the same run only.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable

from task_lab.bench.drained import Drained
from task_lab.errors import LabError, NotReadyInTime
from task_lab.floor import FloorSteps
from task_lab.runtime.base import Endpoints

_DEADLINE_S = 120.0
_LOOK_EVERY_S = 0.02
# What is committed is acknowledged within this; the loops must not be stopped between the two.
_ACKNOWLEDGED_S = 0.1


def drain_floor(
    endpoints: Endpoints, tasks: int, *, warmup_tasks: int, finished: Callable[[], int]
) -> Drained:
    """Drain `tasks` tasks with the bare loops; takes some 5 s.

    finished: how many tasks of the bare loops are finished in the database; warmup_tasks: finished
    before the clock starts. Raises `ProgramFailed`, `NotReadyInTime` or, where tasks are missing,
    LabError. What it made is removed.
    """
    steps = FloorSteps(endpoints, ends_at=time.monotonic() + _DEADLINE_S)
    try:
        steps.run("prepare")
        drained = _drain(steps, tasks, warmup_tasks, finished)
    except BaseException:
        with contextlib.suppress(LabError):  # what went wrong first is what to tell
            steps.remove()
        raise
    steps.remove()
    return drained


def _drain(
    steps: FloorSteps, tasks: int, warmup_tasks: int, finished: Callable[[], int]
) -> Drained:
    with steps.draining(warmup_tasks + tasks) as loops:
        steps.submit(warmup_tasks)
        _wait_finished(finished, warmup_tasks)
        time.sleep(_ACKNOWLEDGED_S)
        loops.send_signal(signal.SIGSTOP)
        try:
            steps.submit(tasks)
            released_at = time.time()
        finally:
            loops.send_signal(signal.SIGCONT)
        ended_at = _unix(steps.drained(loops).ended_at)
    if (found := finished()) != warmup_tasks + tasks:
        raise LabError(f"the bare loops finished {found:,} of {warmup_tasks + tasks:,} tasks")
    return Drained(tasks, released_at, ended_at)


def _wait_finished(finished: Callable[[], int], tasks: int) -> None:
    ends_at = time.monotonic() + _DEADLINE_S
    while finished() < tasks:
        if time.monotonic() > ends_at:
            raise NotReadyInTime("floor: the end of its warm-up", _DEADLINE_S)
        time.sleep(_LOOK_EVERY_S)


def _unix(monotonic_s: float) -> float:
    """The unix time of an instant of the system's monotonic clock, which all processes share."""
    return monotonic_s + (time.time() - time.monotonic())
