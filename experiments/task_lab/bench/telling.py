"""Showing a bench while it goes on, on standard error: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from task_lab.bench.findings import unit_of
from task_lab.bench.measurements import Line, Measurement, Problem
from task_lab.bench.plan import Plan
from task_lab.bench.rows import Group
from task_lab.bench.summary import number_text, unit_text


def describe(line: Line) -> str | None:
    """A measured line for people; None for those that tell them nothing."""
    if isinstance(line, Problem):
        return f"{line.group}: {line.reason}"
    if isinstance(line, Measurement) and line.value is not None:
        return f"{line.name} {number_text(line.value)}{unit_text(unit_of(line.name))}"
    return None


class Teller:
    """Says which group is being measured and what was found; says nothing when quiet."""

    def __init__(self, plan: Plan, *, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._begun = 0
        self._bar = self._progress.add_task("bench", total=len(plan.groups))

    def tell(self, news: Line | Group) -> None:
        """Show one piece of news."""
        if isinstance(news, Group):
            self._progress.update(self._bar, description=f"measuring {news}", completed=self._begun)
            self._begun += 1
            self._console.print(f"measuring {news}")
        elif text := describe(news):
            self._console.print(f"  {escape(text)}", soft_wrap=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._progress.update(self._bar, description="measured", completed=self._begun)
        self._progress.stop()
