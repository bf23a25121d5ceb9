"""Two ways to show a run to people: a screen on a terminal, plain lines elsewhere.

A display is told everything by the watcher, from one thread; it neither reads files nor waits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live

from task_lab.live.feed import News
from task_lab.live.state import RunState
from task_lab.live.view import View
from task_lab.progress import describe

# Rows of the picture that stays when the screen is left.
_LAST_ROWS = 24


class Display(Protocol):
    """What a run is shown with. look_every_s: how often there is any use in showing it."""

    look_every_s: float

    def show(self, state: RunState, news: News, now: float) -> None:
        """Show the state, which has the news in it already."""

    def interrupted(self, state: RunState, now: float) -> None:
        """Say that the run is being ended early, and what that takes."""

    def close(self, state: RunState, now: float) -> None:
        """Leave everything as it was found, with the last word on the run. Called once."""


class Lines:
    """A line for each event that tells people something."""

    look_every_s = 0.1

    def __init__(self, console: Console, path: Path, *, is_own: bool = True) -> None:
        self._console, self._path, self._is_own = console, path, is_own

    def show(self, state: RunState, news: News, now: float) -> None:
        for event in news.events:
            if (line := describe(event)) is not None:
                self._say(line)

    def interrupted(self, state: RunState, now: float) -> None:
        for line in interruption(state, self._path, is_own=self._is_own):
            self._say(line)

    def close(self, state: RunState, now: float) -> None:
        """The lines are the record."""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Screen:
    """The whole terminal, drawn twice a second; it is given back as it was.

    is_own: the run belongs to this command, and ends with it. After Ctrl-C the terminal is given
    back at once, and what is still to be done is told in lines.
    """

    look_every_s = 0.5

    def __init__(self, console: Console, path: Path, *, is_own: bool = True) -> None:
        self._console = console
        self._lines = Lines(console, path, is_own=is_own)
        self._hint = (
            "Ctrl-C heals, stops the stack and keeps the partial run"
            if is_own
            else "Ctrl-C stops watching, the run goes on"
        )
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._is_left = False

    def show(self, state: RunState, news: News, now: float) -> None:
        if self._is_left:
            self._lines.show(state, news, now)
        elif self._live.is_started or not state.is_over:
            self._live.start()
            self._live.update(View(state, now, hint=self._hint), refresh=True)

    def interrupted(self, state: RunState, now: float) -> None:
        self._leave()
        self._lines.interrupted(state, now)

    def close(self, state: RunState, now: float) -> None:
        if not self._is_left:
            self._leave()
            self._console.print(View(state, now, rows=_LAST_ROWS))

    def _leave(self) -> None:
        self._is_left = True
        self._live.stop()


def interruption(state: RunState, path: Path, *, is_own: bool) -> list[str]:
    """What Ctrl-C leads to, for people."""
    if not is_own:
        return [f"no longer watching; the run goes on and writes to {path}"]
    return [state.interruption(), f"the partial run is kept in {path}"]
