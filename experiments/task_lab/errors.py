"""What can go wrong in the lab, and the exit code each kind ends a command with.

One root, `LabError`; a subclass says whose fault it is and carries the facts as attributes, so that
callers and tests need not read the text. Errors of one part alone live beside that part.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar


class LabError(Exception):
    """Anything the lab reports instead of a traceback."""

    exit_code: ClassVar[int] = 70


class UsageError(LabError):
    """The caller asked for something that does not exist or cannot be; nothing was started."""

    exit_code = 64


class InvalidRun(LabError):
    """The run itself is not usable (the generator was the limit, a replica was missing …)."""

    exit_code = 4


class Unknown(LabError):
    """Not enough evidence for a verdict."""

    exit_code = 2


class RuntimeUnavailable(LabError):
    """The stack cannot be brought up, or did not stay up, on this machine."""


class MissingPrograms(RuntimeUnavailable):
    """Programs the stack needs are not installed; one error names them all.

    packages: Debian/Ubuntu package by program name.
    """

    def __init__(self, packages: Mapping[str, str]) -> None:
        self.packages = dict(packages)
        names = ", ".join(sorted(self.packages))
        install = " ".join(sorted(set(self.packages.values())))
        super().__init__(
            f"not installed: {names}. `make setup` installs them on Debian and Ubuntu as root; "
            f"by hand: apt-get install --no-install-recommends {install}. On another system, "
            "install these programs with its own package manager and put them on PATH."
        )


class PortInUse(RuntimeUnavailable):
    """A port that was asked for by number is taken."""

    def __init__(self, port: int, needed_by: str) -> None:
        self.port = port
        self.needed_by = needed_by
        super().__init__(
            f"port {port} on 127.0.0.1 is in use, and {needed_by} was told to listen there. "
            "Choose another port, or none: a free one is found then."
        )


class DataFolderUnusable(RuntimeUnavailable):
    """The servers cannot keep their data where they were told to."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"the servers cannot keep data in {folder}: {reason}. "
            "Name another folder in TASK_LAB_DATA_ROOT."
        )


class NotEnoughDisk(DataFolderUnusable):
    """Too little space is left for the servers' data."""

    def __init__(self, folder: Path, *, free_bytes: int, needed_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.needed_bytes = needed_bytes
        super().__init__(
            folder, f"{free_bytes / 2**20:.0f} MiB free, {needed_bytes / 2**20:.0f} MiB needed"
        )


class ProgramFailed(RuntimeUnavailable):
    """A program of the stack ended although it should be running, or could not do its one job.

    log_tail: its last lines; log: the whole file (None where there is none).
    """

    def __init__(
        self, program: str, exit_code: int | None, log_tail: str, log: Path | None
    ) -> None:
        self.program = program
        self.program_exit_code = exit_code
        self.log_tail = log_tail
        self.log = log
        super().__init__(
            f"{program} ended with exit code {exit_code}"
            + (f"; its log {log} ends with:\n{log_tail}" if log else f": {log_tail}")
        )


class NotReadyInTime(RuntimeUnavailable):
    """A program of the stack runs, but was not ready when its time was up."""

    def __init__(self, what: str, deadline_s: float, log_tail: str = "") -> None:
        self.what = what
        self.deadline_s = deadline_s
        self.log_tail = log_tail
        super().__init__(
            f"{what}: not within {deadline_s:g} s" + (f"; log:\n{log_tail}" if log_tail else "")
        )


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the known one it resembles, or all of them."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"
