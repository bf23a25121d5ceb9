"""The named SQL statements, read once from the `.sql` files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Every statement by name. Raises ValueError when a name is used twice."""
    found: dict[str, str] = {}
    folder = files("task_platform.storage") / "sql"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"two statements are called {name}")
            found[name] = text.strip()
    return found


def sql(name: str) -> str:
    """The statement's text. Raises KeyError for a name that no file holds."""
    return statements()[name]
