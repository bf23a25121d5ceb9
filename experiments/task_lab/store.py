"""The run folder: where every fact of a run is put, and how it gets there whole.

JSON documents are replaced atomically and read strictly; `events.jsonl` only grows. What the files
hold is decided by their writers.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from task_lab.errors import InvalidRun, UsageError
from task_lab.schema import SCHEMA, upgraded_run

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / "results"
# The run's own copy of its definition.
DEFINITION = "definition.toml"
# The run's own copy of a trace that its load replays.
TRACE = "trace.csv"


class Unreadable(InvalidRun):
    """A file of a run is not what its writer left: cut, or changed by hand. `path` is the file."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} cannot be read: {problem}")


class RunFolder:
    """One run's files. Any process may read them while the run goes on.

    listener: is told each event this object appends.
    """

    def __init__(
        self, path: Path, listener: Callable[[Mapping[str, Any]], None] | None = None
    ) -> None:
        self.path = path
        self._listener = listener

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, document: object) -> None:
        """Replace the named document; a reader sees the old one or the new one, never half."""
        write_atomically(self.path / name, json.dumps(document, indent=2, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """The named document. Raises FileNotFoundError, Unreadable."""
        return read_json(self.path / name)

    def run(self) -> dict[str, Any]:
        """run.json, as this version writes it.

        Raises UsageError where the folder is not a run's, Unreadable for a cut one.
        """
        try:
            document: dict[str, Any] = self.read_json("run.json")
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{self.path} is not the folder of a run: no run.json") from None
        if not isinstance(document, dict):
            raise Unreadable(self.path / "run.json", "it is not an object")
        return upgraded_run(document)

    def update_run(self, **fields: object) -> None:
        """Set fields of run.json, leaving the others as they are."""
        self.write_json("run.json", {**self.run(), **fields})

    def append_event(self, event: str, **fields: object) -> dict[str, Any]:
        """Add a line to events.jsonl and return it. `at` is unix seconds."""
        line = {"at": time.time(), "event": event, **fields}
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        if self._listener:
            self._listener(line)
        return line

    def events(self) -> list[dict[str, Any]]:
        """The events so far, oldest first."""
        return list(read_lines(self.path / "events.jsonl"))


def create_run(
    experiment: str, facts: Mapping[str, object], *, results: Path = RESULTS
) -> RunFolder:
    """A new run folder. Its run.json says UNKNOWN, and `crashed`, until somebody knows better.

    So a run whose process was killed outright tells the truth: nobody is left to write it then.
    facts: the fields of run.json that are known at the start; `git.sha` names the folder.
    """
    git: Any = facts.get("git") or {}
    sha = str(git.get("sha") or "")[:7] or "nogit00"
    while True:
        stamp = datetime.now(UTC)
        path = results / experiment / f"{stamp:%Y%m%dT%H%M%SZ}-{sha}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    folder = RunFolder(path)
    folder.write_json(
        "run.json",
        {
            "schema": SCHEMA,
            "experiment": experiment,
            "verdict": "UNKNOWN",
            "started_at": utc_text(stamp),
            "ended_at": None,
            "ended": "crashed",
            "windows": {"start": None, "end": None},
            **facts,
        },
    )
    return folder


def read_json(path: Path) -> Any:
    """The document in a file, by the letter of JSON: no NaN, no Infinity, no name twice.

    Raises FileNotFoundError; Unreadable, which names the file, for anything that is no JSON.
    """
    return _parse(path.read_bytes(), path)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of an append-only file; none if it does not exist. Raises Unreadable.

    A last line without its newline was cut by a kill and is left out: it was never complete.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield _parse(line, path, f"line {number}: ")


def _parse(text: bytes, path: Path, where: str = "") -> Any:
    try:
        return json.loads(
            text.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_names_once
        )
    except (ValueError, RecursionError) as error:
        raise Unreadable(path, f"{where}{error}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")
    return document


def write_atomically(path: Path, text: str, *, private: bool = False) -> None:
    """Replace the file's content in one step, on disk before the name points at it.

    private: readable by its owner only.
    """
    write_bytes_atomically(path, text.encode("utf-8"), private=private)


def write_bytes_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """As `write_atomically`, for what is no text."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def utc_text(moment: datetime | None = None) -> str:
    """A moment (now, if none is given) as ISO 8601 UTC text."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
