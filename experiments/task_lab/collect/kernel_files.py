"""Small files in which the kernel tells about the machine. Many containers lack some of them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")


def read_text(file: Path) -> str | None:
    """What the file says, without blanks around it; None where it cannot be read."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def read_number(file: Path) -> int | None:
    """The whole number in the file; None where there is none, `max` and its like included."""
    text = read_text(file)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def read_pairs(file: Path, separator: str) -> dict[str, str]:
    """The first value of each name in a file of `name <separator> value` lines."""
    found: dict[str, str] = {}
    for line in (read_text(file) or "").splitlines():
        name, is_pair, value = line.partition(separator)
        if is_pair:
            found.setdefault(name.strip(), value.strip())
    return found
