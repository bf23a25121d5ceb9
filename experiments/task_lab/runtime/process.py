"""Child processes of the stack, and waiting for them without threads.

A boot is a generator: it yields whenever it has to wait and returns when its program is ready.
`run_boots` steps several in turn, so everything starts side by side in one thread, and Ctrl-C or an
error in one ends them all at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from task_lab.errors import NotReadyInTime, ProgramFailed

Boot = Iterator[None]

_POLL_S = 0.02
_TAIL_BYTES = 2000


def log_tail(log: Path) -> str:
    """The last lines of a log, at most about 2,000 characters; empty when there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


class Child:
    """One started program, in a session of its own: the terminal's Ctrl-C does not reach it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    def start(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
    ) -> Child:
        """Start a program; what it prints is appended to `log`.

        user: the account to run as, when this process may choose; None keeps its own.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def check_running(self) -> None:
        """Raise `ProgramFailed` if it has ended."""
        if self.exit_code is not None:
            raise self.failure()

    def failure(self) -> ProgramFailed:
        """The error that says how it ended."""
        return ProgramFailed(self.name, self.exit_code, log_tail(self.log), self.log)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to the processes it started; nothing if all have ended."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the program itself one signal; a frozen one is thawed, it could not obey otherwise.

        Once only: a second SIGTERM can meet a program that is past handling it.
        """
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self.send(signal.SIGCONT)

    def wait(self, *, grace_s: float) -> int:
        """Wait for its end; kill it and what it started after `grace_s` seconds.

        Returns its exit code.
        """
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            return self._process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM, *, grace_s: float) -> int:
        """Ask it to end, and wait; see `ask` and `wait`."""
        self.ask(number)
        return self.wait(grace_s=grace_s)


def until(
    is_done: Callable[[], bool], *, what: str, deadline_s: float, child: Child | None = None
) -> Boot:
    """Wait until `is_done()`; fails as soon as `child` ends or the time is up."""
    ends_at = time.monotonic() + deadline_s
    while not is_done():
        if child is not None:
            child.check_running()
        if time.monotonic() > ends_at:
            raise NotReadyInTime(what, deadline_s, log_tail(child.log) if child else "")
        yield


def until_ended(child: Child, *, deadline_s: float) -> Boot:
    """Wait for a one-shot program; raises `ProgramFailed` unless it exits 0."""
    yield from until(
        lambda: child.exit_code is not None, what=f"end of {child.name}", deadline_s=deadline_s
    )
    if child.exit_code != 0:
        raise child.failure()


def run_boots(*boots: Boot) -> None:
    """Step all boots in turn until each has returned; the first error ends the waiting."""
    pending = list(boots)
    while pending:
        pending = [boot for boot in pending if _is_waiting(boot)]
        if pending:
            time.sleep(_POLL_S)


def _is_waiting(boot: Boot) -> bool:
    try:
        next(boot)
    except StopIteration:
        return False
    return True
