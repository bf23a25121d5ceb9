"""Showing a run while it goes on, from the files it writes: any process can watch any run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from task_lab.spec import Spec
from task_lab.store import RunFolder

_LOOK_EVERY_S = 0.2


def describe(event: Mapping[str, Any]) -> str | None:
    """The event in a line for people; None for those that tell them nothing."""
    line = _LINES.get(event["event"])
    return line(event) if line else None


def tell(event: Mapping[str, Any]) -> None:
    """Print the event, if it says something to people: a notebook's progress."""
    if line := describe(event):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class Watcher:
    """Shows a run's progress on standard error until left: a bar on a terminal, lines elsewhere.

    Standard output stays for the result.
    """

    def __init__(self, folder: RunFolder, *, console: Console | None = None) -> None:
        spec = Spec.model_validate(folder.run()["params"]["resolved"])
        self._console = console or Console(stderr=True, highlight=False)
        self._events = Tail(folder / "events.jsonl")
        self._history = Tail(folder / "history.jsonl")
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task(
            f"{spec.name}: starting the stack", total=sum(p.tasks for p in spec.phases())
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self._show_news()
        self._show_news()

    def _show_news(self) -> None:
        for line in self._events.news():
            event = msgspec.json.decode(line)
            if text := describe(event):
                self._console.print(text)
                self._progress.update(self._bar, description=text)
        self._progress.advance(self._bar, len(self._history.news()))

    def __enter__(self) -> Self:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._progress.stop()


class Tail:
    """Reads what is appended to a file, which need not exist yet, in whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def news(self) -> list[bytes]:
        """The complete lines appended since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


def _phase(event: Mapping[str, Any]) -> str:
    kind = f"round {event['round']}" if event["kind"] == "round" else event["kind"]
    return f"{event['workload']}, {_workers(event['workers'])}, {kind}"


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"


def _phase_ended(event: Mapping[str, Any]) -> str:
    if not event["drained"]:
        return f"{_phase(event)}: did not drain in time"
    return f"{_phase(event)}: {event['accepted']:,} at {event['submit_per_s']:,.0f}/s, all finished"


def _floor(event: Mapping[str, Any]) -> str:
    if "reason" in event:
        return f"no floor: {event['reason']}"
    return f"the floor of this machine: {event['end_to_end_per_s']:,.0f} tasks/s end to end"


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "stack_up": lambda event: f"the stack is up: API {event['api']}",
    "floor_measured": _floor,
    "calibrated": lambda event: f"the generator reaches {event['stub_per_s']:,.0f}/s on a stub",
    "scaled": lambda event: f"{_workers(event['workers'])} ready",
    "phase_started": lambda event: f"{_phase(event)}: {event['tasks']:,} tasks",
    "phase_ended": _phase_ended,
    "settled": lambda _: "the platform is at rest",
    "collected": lambda event: f"{event['tasks']:,} tasks of the ledger kept",
    "checked": lambda event: f"checks: {event['verdict']}",
    "stopped": lambda _: "the stack is stopped",
}
