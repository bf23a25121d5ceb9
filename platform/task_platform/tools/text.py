"""What clients chose, made safe to show: nothing that a terminal would obey."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len, set_cell_size


def printable(text: str) -> str:
    """The text with everything invisible or obeyed by terminals written as an escape.

    That is control characters, direction marks, zero-width and line separators, lone surrogates.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis: at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut(text: str, width: int | None) -> str:
    """The text, or its beginning and an ellipsis: at most so many columns of a terminal."""
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def table(rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """One line for each row, in columns; the last one is cut where the line would be too long.

    width: columns of the terminal; None: as many as it takes.
    """
    sizes = [max(map(cell_len, column)) for column in zip(*rows, strict=True)][:-1]
    left = None if width is None else max(1, width - sum(size + 2 for size in sizes))
    return [
        "".join(f"{set_cell_size(cell, size)}  " for cell, size in zip(row, sizes, strict=False))
        + cut(row[-1], left)
        for row in rows
    ]


def as_json(value: Any) -> str:
    """One line of JSON in ASCII; times as the API writes them, ids as text."""
    text = json.dumps(value, default=_plain, ensure_ascii=True)
    # Allowed in JSON as it is, and a control character all the same.
    return text.replace("\x7f", "\\u007f")


def time_text(moment: datetime, timespec: str = "microseconds") -> str:
    """A moment in UTC, by default as the API writes it: `2026-01-31T12:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def _plain(value: Any) -> str:
    return time_text(value) if isinstance(value, datetime) else str(value)
