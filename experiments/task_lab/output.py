"""What commands print: lines, and tables that a terminal shows as such and files get as Markdown.

Results go to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from task_lab.store import RunFolder

# Words that a terminal shows in a colour of their own, wherever they are a cell.
_STYLES = {
    "PASS": "green",
    "FAIL": "bold red",
    "INVALID": "red",
    "UNKNOWN": "yellow",
    "INTERRUPTED": "yellow",
    "unreadable": "bold yellow",
    "lower": "bold red",
    "higher": "bold green",
}

# A column of prose that is narrower cannot be read.
_NARROWEST = 24


@dataclass(frozen=True)
class Table:
    """Rows of text below a head. The first `text_columns` columns are words; the last may be."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    last_is_text: bool = True

    def is_text(self, column: int) -> bool:
        """Whether a column holds words, which start at its left."""
        is_last = column == len(self.head) - 1
        return column < self.text_columns or (is_last and self.last_is_text)


def markdown(blocks: Sequence[str | Table]) -> str:
    """The blocks as Markdown, apart by an empty line."""
    return "\n\n".join(b if isinstance(b, str) else _markdown_table(b) for b in blocks)


def show(blocks: Sequence[str | Table], console: Console | None = None) -> None:
    """Print the blocks: with colours and columns on a terminal, as Markdown elsewhere."""
    console = console or Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        say(markdown(blocks))
        return
    from rich.markdown import Markdown  # noqa: PLC0415 - slow, and for terminals only

    for block in blocks:
        if isinstance(block, str):
            console.print(Markdown(block))
        else:
            table, width = _rich_table(block, console.width)
            narrow, console.width = console.width, max(width, console.width)
            console.print(table)
            console.width = narrow


def show_markdown(text: str, console: Console | None = None) -> None:
    """Print Markdown: laid out on a terminal, as it is elsewhere."""
    show([text.rstrip("\n")], console)


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line to standard error, where it is no result."""
    sys.stderr.write(f"task-lab: {text}\n")


def say_json(document: object) -> None:
    """Print a document as one line of strict JSON."""
    say(json.dumps(document, allow_nan=False))


def say_run(folder: RunFolder, *, as_json: bool) -> None:
    """Print how a run ended and where it is; the last line is its folder, or a JSON object."""
    run, path = folder.run(), str(folder.path)
    if as_json:
        say_json({"run": path, "verdict": run["verdict"]})
        return
    say(run["verdict"] + (f": {run['reason']}" if run.get("reason") else ""))
    if (folder / "report.html").exists():
        say(str(folder / "report.html"))
    say(path)


def _markdown_table(table: Table) -> str:
    rule = ["---" if table.is_text(i) else "---:" for i in range(len(table.head))]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (table.head, *table.rows)]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rich_table(table: Table, width: int) -> tuple[RichTable, int]:
    """The table and the width it takes: its last column wraps, the others are never cut.

    An id has to be whole to be copied; where the terminal is too narrow, it wraps the lines.
    """
    widths = [max(len(row[i]) for row in (table.head, *table.rows)) for i in range(len(table.head))]
    widths[-1] = min(widths[-1], max(_NARROWEST, width - sum(widths[:-1]) - 3 * len(widths)))
    shown = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column, name in enumerate(table.head):
        justify: JustifyMethod = "left" if table.is_text(column) else "right"
        shown.add_column(name, justify=justify, width=widths[column], overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return shown, sum(widths) + 3 * len(widths)
