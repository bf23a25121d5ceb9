"""The floor: what this machine's servers could do for the same durable work without the platform.

`efficiency = measured ÷ floor` follows the software rather than the machine's mood, provided both
were measured in the same sitting. The measuring runs in processes of its own (`floor_loops`), so it
works inside a notebook and nothing of the caller's competes with its event loops.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from task_lab import floor_loops
from task_lab.errors import LabError, NotReadyInTime, ProgramFailed
from task_lab.runtime.base import Endpoints

TASKS = 20_000
WARMUP_TASKS = 1_000
DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class FloorResult:
    """Tasks per second, defined as the platform's own rates are, and the code they belong to."""

    code_hash: str
    submit_per_s: float
    drain_per_s: float
    end_to_end_per_s: float


@dataclass(frozen=True, slots=True)
class Times:
    """Begin and end of a step, in seconds of the system's monotonic clock."""

    begun_at: float
    ended_at: float

    @property
    def duration_s(self) -> float:
        return self.ended_at - self.begun_at


def code_hash() -> str:
    """First 16 hex digits of the SHA-256 of the recipe; figures compare only where it is equal."""
    return hashlib.sha256(Path(floor_loops.__file__).read_bytes()).hexdigest()[:16]


def measure_floor(endpoints: Endpoints, tasks: int = TASKS) -> FloorResult:
    """Submit and drain `tasks` bare tasks, then do both at once; takes some 5 s.

    Uses a schema and a quorum queue of its own and removes both. The servers should be otherwise
    idle. Raises `ProgramFailed` or `NotReadyInTime`.
    """
    sitting = FloorSteps(endpoints, ends_at=time.monotonic() + DEADLINE_S)
    try:
        sitting.run("prepare")
        sitting.end_to_end(min(tasks, WARMUP_TASKS))
        submit = sitting.submit(tasks)
        drain = sitting.drain(tasks)
        end_to_end = sitting.end_to_end(tasks)
    except BaseException:
        with contextlib.suppress(LabError):  # what went wrong first is what to tell
            sitting.remove()
        raise
    sitting.remove()
    return FloorResult(
        code_hash=code_hash(),
        submit_per_s=tasks / submit.duration_s,
        drain_per_s=tasks / drain.duration_s,
        end_to_end_per_s=tasks / end_to_end.duration_s,
    )


class FloorSteps:
    """Runs the recipe's steps, each in a fresh process, until a common deadline.

    ends_at: of this process's monotonic clock.
    """

    def __init__(self, endpoints: Endpoints, *, ends_at: float) -> None:
        self._ends_at = ends_at
        self._env = os.environ | {
            "FLOOR_DATABASE_URL": endpoints.database_url,
            "FLOOR_AMQP_URL": endpoints.amqp_url,
        }

    def submit(self, tasks: int) -> Times:
        """Submit so many tasks, as fast as it goes."""
        return _times(self.run("submit", tasks))

    def drain(self, tasks: int) -> Times:
        """Drain so many tasks that are in the queue."""
        return _times(self.run("drain", tasks))

    def end_to_end(self, tasks: int) -> Times:
        """Both sides at once: from the first commit's start to the last task's end."""
        with self.draining(tasks) as drain:
            submitted = self.submit(tasks)
            drained = self.drained(drain)
        return Times(submitted.begun_at, drained.ended_at)

    @contextlib.contextmanager
    def draining(self, tasks: int) -> Iterator[subprocess.Popen[str]]:
        """The draining process, consuming from an empty queue; see `drained`."""
        with self._start("drain", tasks) as drain:
            try:
                assert drain.stdout is not None
                drain.stdout.readline()  # it is consuming, or has failed, which `_output` tells
                yield drain
            finally:
                drain.kill()

    def drained(self, drain: subprocess.Popen[str]) -> Times:
        """Wait for the end of a `draining` process: of its first claim and its last task."""
        return _times(self._output("drain", drain))

    def run(self, step: str, tasks: int = 0) -> str:
        """Run one step to its end; returns what it printed."""
        with self._start(step, tasks) as process:
            try:
                return self._output(step, process)
            finally:
                process.kill()

    def remove(self) -> None:
        """Delete what the floor made, also when its time is over."""
        self._ends_at = time.monotonic() + DEADLINE_S
        self.run("remove")

    def _start(self, step: str, tasks: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "task_lab.floor_loops", step, str(tasks)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
            text=True,
        )

    def _output(self, step: str, process: subprocess.Popen[str]) -> str:
        try:
            printed, errors = process.communicate(timeout=max(0, self._ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise NotReadyInTime(f"floor: end of {step}", DEADLINE_S) from None
        if process.returncode != 0:
            raise ProgramFailed(f"floor: {step}", process.returncode, errors.strip()[-2000:], None)
        return printed


def _times(printed: str) -> Times:
    return Times(**json.loads(printed.splitlines()[-1]))
