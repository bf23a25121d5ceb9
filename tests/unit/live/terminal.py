"""A terminal for a child process: a pseudo-terminal of a known size, and all that was written."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
CTRL_C = b"\x03"
_WITHIN_S = 30.0


class Terminal:
    """Runs a Python program as the foreground job of a terminal of its own."""

    def __init__(
        self,
        arguments: list[str],
        *,
        rows: int = 24,
        columns: int = 80,
        environment: Mapping[str, str] = {},
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.settings_before = termios.tcgetattr(slave)
        own = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
        inherited = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
        self.process = subprocess.Popen(
            # A login shell would do the same: a session of its own, with this as its terminal.
            [sys.executable, "-P", str(Path(__file__).with_name("job.py")), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, **own},
            start_new_session=True,
        )
        self._slave = slave
        self.output = ""

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def wait_for(self, text: str) -> None:
        """Read until the text was written, whatever else and whatever style it came in."""
        deadline = time.monotonic() + _WITHIN_S
        while text not in self.text():
            assert time.monotonic() < deadline, self.text()
            self._read()

    def end(self) -> int:
        """Read until the program ends; its exit code."""
        deadline = time.monotonic() + _WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text()
            self._read()
        while self._read():
            pass
        self.settings_after = termios.tcgetattr(self._slave)
        os.close(self._slave)
        os.close(self._master)
        return self.process.returncode

    def text(self) -> str:
        """Everything written so far, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.output)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return False
        self.output += os.read(self._master, 65_536).decode("utf-8", "replace")
        return True
