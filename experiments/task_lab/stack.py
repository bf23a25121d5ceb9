"""A stack that outlives the command that started it: `task-lab up`, `status`, `down`.

A supervisor process owns the runtime, since the runtime ends with its owner. It starts processes
of the platform again that end by themselves, as production would; experiments never do. What runs
and where it answers stands in a state file that only its user may read, because log-ins are in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from task_lab.errors import LabError, PortInUse, ProgramFailed, RuntimeUnavailable
from task_lab.runtime.base import NO_SETTINGS
from task_lab.runtime.native import NativeRuntime
from task_lab.runtime.restarter import GROWING, Death, Restarter
from task_lab.store import PROJECT, write_atomically

STATE_FOLDER = PROJECT / ".run"
_UP_S = 120.0
_DOWN_S = 60.0
_LOOK_EVERY_S = 0.1
_LOG_TAIL_BYTES = 2_000


class StackFailed(RuntimeUnavailable):
    """The supervisor could not bring the stack up; `reason` is what it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StackAlreadyUp(RuntimeUnavailable):
    """A stack of this checkout is running already."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            f"a stack is running already (supervisor {pid}): `make down` stops it and deletes its "
            "tasks, `task-lab status` says where it answers"
        )
        self.pid = pid


@dataclass(frozen=True)
class Supervisor:
    """A supervisor by process id and start time: an id alone may since belong to another."""

    pid: int
    started: float

    @classmethod
    def current(cls) -> Supervisor:
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time())

    def process(self) -> psutil.Process | None:
        """Its process, or None once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < 0.1
            if is_same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def read_state(folder: Path = STATE_FOLDER) -> dict[str, Any] | None:
    """What is known of the running stack; None where none is running.

    endpoints: of `Endpoints`; workers: those that run now, of `Replica`; workers_wanted: how many
    should; restarts: how often each process was started again, by its name; logs: their folder.
    """
    try:
        state: dict[str, Any] = json.loads((folder / "stack.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return state if Supervisor(**state["supervisor"]).process() else None


def up(
    *,
    workers: int,
    api_port: int,
    settings: Mapping[str, str] = NO_SETTINGS,
    folder: Path = STATE_FOLDER,
) -> dict[str, Any]:
    """Start a stack in the background; returns its state once everything is ready.

    api_port: 0 takes a free one. settings: more TASK_PLATFORM_* variables for the platform.
    Raises StackAlreadyUp, StackFailed.
    """
    if state := read_state(folder):
        raise StackAlreadyUp(state["supervisor"]["pid"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.json").unlink(missing_ok=True)
    log = folder / "supervisor.log"
    supervise = [sys.executable, "-P", "-m", "task_lab.stack"]
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [*supervise, str(folder), str(workers), str(api_port), json.dumps(dict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        state = _wait_ready(supervisor, folder, log)
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    supervisor.returncode = 0  # it is meant to outlive us; Popen would warn that it still runs
    return state


def down(folder: Path = STATE_FOLDER) -> bool:
    """Stop the running stack and wait until nothing of it is left; False if there was none."""
    state = read_state(folder)
    process = Supervisor(**state["supervisor"]).process() if state else None
    if process is None:
        return False
    process.terminate()
    process.wait(_DOWN_S)
    return True


def serve(folder: Path, *, workers: int, api_port: int, settings: Mapping[str, str]) -> None:
    """Own a stack until SIGTERM or SIGINT: the supervisor's whole life."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    runtime = NativeRuntime(folder, ports={"api": api_port} if api_port else {})
    with runtime:
        endpoints = runtime.up(workers=workers, settings=settings)
        with Restarter(runtime.processes, _tell, pauses=GROWING) as restarter:
            known: dict[str, Any] | None = None
            while True:
                state = {
                    "supervisor": asdict(Supervisor.current()),
                    "endpoints": asdict(endpoints),
                    "workers": [asdict(replica) for replica in runtime.replicas()],
                    "workers_wanted": workers,
                    "restarts": dict(restarter.restarts()),
                    "logs": str(runtime.logs_dir()),
                }
                if state != known:
                    write_atomically(folder / "stack.json", json.dumps(state), private=True)
                    known = state
                if stop.wait(_LOOK_EVERY_S):
                    break
    (folder / "stack.json").unlink()


def _tell(death: Death) -> None:
    """Note a death in the supervisor's log."""
    sys.stderr.write(
        f"{death.name} ended with exit code {death.exit_code}; "
        f"it starts again in {death.pause_s:g} s\n"
    )
    sys.stderr.flush()


def _wait_ready(supervisor: subprocess.Popen[bytes], folder: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _UP_S
    while time.monotonic() < deadline:
        if state := read_state(folder):
            return state
        if supervisor.poll() is not None:
            raise StackFailed(log.read_text("utf-8", "replace")[-_LOG_TAIL_BYTES:].strip())
        time.sleep(_LOOK_EVERY_S)
    raise StackFailed(f"the stack was not ready within {_UP_S:.0f} s; see {log}")


def _main(folder: str, workers: str, api_port: str, settings: str) -> int:
    try:
        serve(
            Path(folder),
            workers=int(workers),
            api_port=int(api_port),
            settings=json.loads(settings),
        )
    except PortInUse as error:
        other = error.port % 65_535 + 1
        sys.stderr.write(
            f"port {error.port} on 127.0.0.1 is in use. Choose another for the API, such as "
            f'`make up ARGS="--api-port {other}"`; 0 takes any free one.\n'
        )
        return error.exit_code
    except ProgramFailed as error:
        # What a program says last is why it ended; what it said before is in its log.
        reason = (error.log_tail.splitlines() or ["it said nothing"])[-1]
        sys.stderr.write(
            f"{error.program} ended with exit code {error.program_exit_code}: {reason}\n"
            f"its log: {error.log}\n"
        )
        return error.exit_code
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
