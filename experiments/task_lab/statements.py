"""Named SQL statements: each module that asks the database has its `.sql` file beside it."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def statements_of(file: Path) -> dict[str, str]:
    """The statements of a `.sql` file by name."""
    _, *parts = _NAME.split(file.read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))
