"""What a bench measured, one line each in `measurements.jsonl`, written as soon as it is known.

Everything a bench says afterwards (rows, figures, pictures) is computed from these lines alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from task_lab.bench.rows import Group
from task_lab.errors import LabError

FILE = "measurements.jsonl"
_LOG_IN = re.compile(r"://[^@/\s]*@")


class Measurement(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="measurement"):
    """One measurement. Its unit is the end of its name.

    value: a single figure. values: a sample. parts: figures by part of the stack.
    cycle: counts from 1; measurements of one cycle were taken side by side.
    """

    name: str
    group: Group
    at: float
    cycle: int = 1
    value: float | None = None
    values: list[float] = []
    parts: dict[str, float] = {}


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="checked"):
    """Tasks of a measurement that were accepted, all of which succeeded with the right result."""

    group: Group
    what: str
    at: float
    tasks: int


class Problem(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="problem"):
    """Why a group came to no end. is_wrong: the platform did less than it had promised."""

    group: Group
    at: float
    reason: str
    is_wrong: bool


class Cost(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cost"):
    """A function that a process spent much of its time in; share: of all samples, 0 to 1."""

    process: str
    function: str
    place: str
    share: float


class Disturbed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="disturbed"):
    """How many cores others used, on average, while a stack of the bench was up."""

    stack: str
    cores: float


Line = Measurement | Checked | Problem | Cost | Disturbed


class PromisedLess(LabError):
    """Tasks were lost, failed or ended with a wrong result: no speed counts then."""

    exit_code = 1


class Measurements:
    """The lines of one bench; appended to its file when they come, and kept.

    listener: is told each line.
    """

    def __init__(self, folder: Path, listener: Callable[[Line], None] | None = None) -> None:
        self._path = folder / FILE
        self._listener = listener
        self.lines: list[Line] = []

    def add(
        self,
        group: Group,
        name: str,
        value: float | None = None,
        *,
        cycle: int = 1,
        values: Sequence[float] = (),
        parts: Mapping[str, float] | None = None,
    ) -> None:
        """Keep one measurement."""
        self.append(
            Measurement(
                name=name,
                group=group,
                at=time.time(),
                cycle=cycle,
                value=value,
                values=list(values),
                parts=dict(parts or {}),
            )
        )

    def checked(self, group: Group, what: str, tasks: int) -> None:
        """Note that so many accepted tasks all succeeded."""
        self.append(Checked(group=group, what=what, at=time.time(), tasks=tasks))

    def failed(self, group: Group, error: Exception) -> None:
        """Note why a group came to no end."""
        is_wrong = isinstance(error, PromisedLess)
        reason = without_log_ins(f"{error}" if is_wrong else f"{type(error).__name__}: {error}")
        self.append(Problem(group=group, at=time.time(), reason=reason, is_wrong=is_wrong))

    def values(self, name: str) -> list[float]:
        """The single figures of that name so far."""
        return values_of(self.lines, name)

    def append(self, line: Line) -> None:
        """Keep a line, on disk before anybody is told."""
        self.lines.append(line)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        if self._listener:
            self._listener(line)


def without_log_ins(text: str) -> str:
    """The text with the log-in of every address in it left out: drivers quote addresses."""
    return _LOG_IN.sub("://…@", text)


def read_measurements(folder: Path) -> list[Line]:
    """The lines of a bench that is over; a last line cut by a kill is left out."""
    path = folder / FILE
    if not path.exists():
        return []
    decode = msgspec.json.Decoder(Line).decode
    return [decode(line) for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]


def measurements_of(lines: Sequence[Line], name: str) -> Iterator[Measurement]:
    """The measurements of that name, in the order in which they were taken."""
    return (line for line in lines if isinstance(line, Measurement) and line.name == name)


def values_of(lines: Sequence[Line], name: str) -> list[float]:
    """The single figures of that name, in the order in which they were taken."""
    return [m.value for m in measurements_of(lines, name) if m.value is not None]
