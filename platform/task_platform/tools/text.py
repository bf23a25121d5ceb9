"""What clients chose, made safe to show: nothing that a terminal would obey."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any


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


def as_json(value: Any) -> str:
    """One line of JSON in ASCII; times in ISO 8601, ids as text."""
    text = json.dumps(value, default=_plain, ensure_ascii=True)
    # Allowed in JSON as it is, and a control character all the same.
    return text.replace("\x7f", "\\u007f")


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
