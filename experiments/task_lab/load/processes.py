"""The load's processes, driven from synchronous code: a notebook's kernel has a loop of its own."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from task_lab.errors import LabError
from task_lab.load.wire import Load, Ready, SenderReport

_START_S = 30.0
_STOP_S = 5.0
# What a load may take beyond its own deadline: the last answers and the report about them.
_GRACE_S = 15.0


class GeneratorDied(LabError):
    """A process of the load ended or fell silent; what it had sent is in the history."""

    def __init__(self, module: str, log: Path) -> None:
        super().__init__(f"{module} ended or gave no answer in time; its log: {log}")
        self.module = module
        self.log = log


class _Child:
    """A module run as a process that ends when its standard input does."""

    def __init__(self, module: str, log: Path) -> None:
        self._module = module
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C in a terminal reaches the whole group; the lab ends its children itself,
                # after they have written what they know.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, line: bytes) -> None:
        """Hand the process a line. Raises GeneratorDied."""
        try:
            self._stdin.write(line + b"\n")
            self._stdin.flush()
        except BrokenPipeError:
            raise GeneratorDied(self._module, self._log) from None

    def hear(self, timeout_s: float) -> bytes:
        """The next line the process says. Raises GeneratorDied."""
        readable, _, _ = select.select([self._stdout], [], [], timeout_s)
        line = self._stdout.readline() if readable else b""
        if not line:
            raise GeneratorDied(self._module, self._log)
        return line

    def stop(self) -> None:
        """End the process, by force if closing its input is not enough. Idempotent."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class Generator(_Child):
    """The sender process, ready when this returns. Raises GeneratorDied.

    has_precedence: the kernel runs it before the processes it measures.
    """

    def __init__(self, log: Path) -> None:
        super().__init__("task_lab.load.sender", log)
        ready = msgspec.json.decode(self.hear(_START_S), type=Ready)
        self.has_precedence = ready.precedence

    def offer(self, load: Load) -> SenderReport:
        """Send a load and return what the sender says about it. Raises GeneratorDied."""
        self.say(msgspec.json.encode(load))
        line = self.hear(load.deadline_s + _GRACE_S)
        return msgspec.json.decode(line, type=SenderReport)


class Stub(_Child):
    """The stub server process. `url` is where it answers."""

    def __init__(self, log: Path) -> None:
        super().__init__("task_lab.load.stub", log)
        self.url = self.hear(_START_S).decode().strip()
