"""A figure of a run that draws itself anew while the run goes on: for a notebook's cell.

`plot = live_plot(exp.folder)` in one cell, the run in the next ones. Only display messages are
used, no widgets, so that an executed notebook keeps the last picture.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from task_lab.live.feed import Feed
from task_lab.live.picture import draw, png, told
from task_lab.live.state import RunState
from task_lab.store import RunFolder

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

Until = Literal["run", "phase"]
DRAW_EVERY_S = 1.0
_STOP_WITHIN_S = 5.0


def live_plot(
    folder: str | Path | RunFolder, *, until: Until = "run", every_s: float = DRAW_EVERY_S
) -> LivePlot:
    """Show the run below this cell and keep the figure up to date, until the run or the running
    phase ends, or `stop`. Where there is no notebook to show it in, nothing is shown.
    """
    return LivePlot(folder, until=until, every_s=every_s)


class LivePlot:
    """A figure that a thread redraws. Also a context: left, it shows the state of that moment."""

    def __init__(
        self,
        folder: str | Path | RunFolder,
        *,
        until: Until = "run",
        every_s: float = DRAW_EVERY_S,
    ) -> None:
        of_run = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))
        self.state = RunState(run_id=of_run.path.name)
        self._feed = Feed(of_run)
        self._until, self._every_s = until, every_s
        self._take_news()
        self._phases_done = self.state.done
        self._over = threading.Event()
        self._handle = self._display()
        self._thread = threading.Thread(target=self._follow, name="live-plot", daemon=True)
        if self._handle is not None:
            self._thread.start()

    @property
    def is_live(self) -> bool:
        """Whether the figure is still being redrawn."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Draw once more, and no further. Idempotent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN_S)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run, or the phase, has ended; False when time is up before."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _display(self) -> DisplayHandle | None:
        """The figure's place below the cell; None outside of notebooks."""
        try:
            from IPython.core.getipython import get_ipython  # noqa: PLC0415
            from IPython.display import display  # noqa: PLC0415
        except ImportError:
            return None
        if not hasattr(get_ipython(), "kernel"):
            return None
        handle: DisplayHandle | None = display(  # type: ignore[no-untyped-call]
            self._bundle(), raw=True, display_id=True
        )
        return handle

    def _follow(self) -> None:
        assert self._handle is not None
        is_last = False
        while not is_last:
            is_last = self._over.wait(self._every_s)
            has_news = self._take_news()
            is_last |= self._has_ended()
            if has_news or is_last:
                self._handle.update(  # type: ignore[no-untyped-call]
                    self._bundle(), raw=True
                )

    def _take_news(self) -> bool:
        has_news = False
        for news in self._feed.looks():
            self.state.take(news)
            has_news |= bool(news)
        return has_news

    def _has_ended(self) -> bool:
        if self.state.is_over:
            return True
        is_between = self.state.running is None and self.state.done > self._phases_done
        return self._until == "phase" and is_between

    def _bundle(self) -> dict[str, Any]:
        now = time.time()
        return {"image/png": png(draw(self.state, now)), "text/plain": told(self.state, now)}
