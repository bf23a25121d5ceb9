"""Shows a run while it goes on, from the files it writes, until the block is left.

The look-out is a thread: the run's own thread waits for a kernel. Ctrl-C and SIGTERM reach that
one; on their way the watcher learns of them and says at once what an interrupted run still does.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console

from task_lab.live.displays import Display, Lines, Screen
from task_lab.live.events import JsonLines
from task_lab.live.feed import Feed, News
from task_lab.live.state import RunState
from task_lab.store import RunFolder

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def watching(
    folder: RunFolder, *, quiet: bool = False, as_json: bool = False
) -> AbstractContextManager[object]:
    """Show the caller's own run on standard error while the block lasts; nothing when quiet."""
    if quiet:
        return nullcontext()
    return Watcher(folder, as_json=as_json)


def display_for(
    folder: RunFolder, *, console: Console | None = None, as_json: bool = False, is_own: bool = True
) -> Display:
    """JSON lines if asked, a screen on a terminal that can move its cursor, lines elsewhere."""
    if as_json:
        return JsonLines(sys.stderr, folder.path, is_own=is_own)
    console = console or Console(stderr=True, highlight=False)
    is_screen = console.is_terminal and not console.is_dumb_terminal
    return (Screen if is_screen else Lines)(console, folder.path, is_own=is_own)


class Watcher:
    """Follows one run from its beginning; what happened before the block's end is always shown."""

    def __init__(
        self, folder: RunFolder, *, console: Console | None = None, as_json: bool = False
    ) -> None:
        self.state = RunState(run_id=folder.path.name)
        self._feed = Feed(folder)
        self._open: Callable[[], Display] = lambda: display_for(
            folder, console=console, as_json=as_json
        )
        self._stop = threading.Event()
        # Not an event: a signal may come while its lock is held.
        self._is_interrupted = False
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)
        self._handlers: dict[int, Any] = {}

    def _watch(self) -> None:
        display = self._open()
        try:
            while not self._stop.wait(display.look_every_s):
                self._show(display, self._feed.look())
            for news in self._feed.looks():
                self._show(display, news)
        finally:
            self.state.end()
            display.close(self.state, time.time())

    def _show(self, display: Display, news: News) -> None:
        self.state.take(news)
        display.show(self.state, news, time.time())
        if self._is_interrupted and self.state.interrupted_at is None:
            self.state.interrupted_at = time.time()
            display.interrupted(self.state, time.time())

    def _note_interrupts(self) -> None:
        """Learn of the signals that Python code handles here, and hand them on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._is_interrupted = True
        self._handlers[number](number, frame)

    def __enter__(self) -> Self:
        self._note_interrupts()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._is_interrupted = True
        self._stop.set()
        self._thread.join()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
