"""What a run has newly written: any process may read along while another one writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from task_lab.errors import LabError
from task_lab.store import RunFolder

# At most so much of a file at once: a finished run may hold a million submissions.
_CHUNK_BYTES = 4 << 20


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What a viewer needs of a line of history.jsonl."""

    outcome: str
    answered_at: float | None = None
    phase: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What was appended since the last look. run: run.json, where it was replaced meanwhile."""

    run: dict[str, Any] | None = None
    events: Sequence[dict[str, Any]] = ()
    sent: Sequence[Sent] = ()
    samples: Sequence[dict[str, Any]] = ()
    resources: Sequence[dict[str, Any]] = ()

    def __bool__(self) -> bool:
        return any((self.run, self.events, self.sent, self.samples, self.resources))


@dataclass
class Tail:
    """Reads what is appended to a file, which need not exist yet, in whole lines."""

    path: Path
    _offset: int = field(default=0, init=False)

    def news(self) -> list[bytes]:
        """Complete lines appended since the last call; of very many, the first ones."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                text = file.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


class Feed:
    """The news of one run's files, look by look. Lines that cannot be read are left out."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._events = Tail(folder / "events.jsonl")
        self._history = Tail(folder / "history.jsonl")
        self._samples = Tail(folder / "samples.jsonl")
        self._resources = Tail(folder / "resources.jsonl")
        self._sent = msgspec.json.Decoder(Sent)
        self._run_at = 0

    def look(self) -> News:
        """What is new. Of a file with very much news the rest comes with the next look."""
        sent = []
        for line in self._history.news():
            try:
                sent.append(self._sent.decode(line))
            except msgspec.MsgspecError:
                continue
        return News(
            run=self._run(),
            events=[event for event in _objects(self._events) if _is_event(event)],
            sent=sent,
            samples=list(_objects(self._samples)),
            resources=list(_objects(self._resources)),
        )

    def looks(self) -> Iterator[News]:
        """The news of look after look, up to the first one that finds none."""
        while True:
            news = self.look()
            yield news
            if not news:
                return

    def written_at(self) -> float:
        """When any file of the run was last written, in unix seconds."""
        files = [self._folder.path, *self._folder.path.iterdir()]
        return max(file.stat().st_mtime for file in files if file.exists())

    def _run(self) -> dict[str, Any] | None:
        try:
            changed_at = (self._folder / "run.json").stat().st_mtime_ns
            if changed_at == self._run_at:
                return None
            run = self._folder.run()
        except (OSError, LabError):
            return None
        self._run_at = changed_at
        return run


def _objects(tail: Tail) -> Iterator[dict[str, Any]]:
    for line in tail.news():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _is_event(found: dict[str, Any]) -> bool:
    return isinstance(found.get("event"), str) and isinstance(found.get("at"), int | float)
