"""Following a run that another process makes, until it has ended or seems to be dead."""

from __future__ import annotations

import time

from rich.console import Console

from task_lab.live.feed import Feed, News
from task_lab.live.state import RunState
from task_lab.live.watcher import display_for
from task_lab.store import RunFolder

# No step of a run is silent for so long: its process was killed, or its machine has stopped.
_DEAD_AFTER_S = 600.0
# The report of a run comes after all that it measures; its last steps write little.
_REPORT_WITHIN_S = 60.0
# Whoever started a run that came to no end says why, right after.
_REASON_WITHIN_S = 3.0


def follow(folder: RunFolder, *, console: Console | None = None, as_json: bool = False) -> None:
    """Show the run on standard error until it has ended, or is silent as only a dead one is.

    A run that is over already is shown at once. Ctrl-C ends the watching alone, and goes on.
    """
    feed, state = Feed(folder), RunState(run_id=folder.path.name)
    display = display_for(folder, console=console, as_json=as_json, is_own=False)
    past = list(feed.looks())
    for news in past:
        state.take(news)
    display_news = News(events=[event for news in past for event in news.events])
    try:
        while True:
            now = time.time()
            display.show(state, display_news, now)
            if not display_news and is_final(state, folder, now - feed.written_at()):
                return
            time.sleep(display.look_every_s)
            display_news = feed.look()
            state.take(display_news)
    except KeyboardInterrupt:
        display.interrupted(state, time.time())
        raise
    finally:
        state.end()
        display.close(state, time.time())


def is_final(state: RunState, folder: RunFolder, silent_s: float) -> bool:
    """Whether the run has said its last word. silent_s: since anything of it was written."""
    if not state.is_over:
        return silent_s > _DEAD_AFTER_S
    if state.ended == "completed":
        has_report = (folder / "report.html").exists() and state.verdict not in {"", "UNKNOWN"}
        return has_report or silent_s > _REPORT_WITHIN_S
    return bool(state.reason) or silent_s > _REASON_WITHIN_S
