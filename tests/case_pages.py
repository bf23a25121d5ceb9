"""Pages that say which tests prove which case, and the tests that have a case in their name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
_LINK = re.compile(r"\]\(\.\./\.\./(tests/[\w/]+\.py)\)")


def rows_of(page: Path, case: str) -> dict[str, set[str]]:
    """The test files that each row of the page's tables names. case: pattern of its first cell."""
    row = re.compile(rf"^\| ({case}) \|.*\| (.+) \|$", re.MULTILINE)
    found = row.findall(page.read_text(encoding="utf-8"))
    return {name: set(_LINK.findall(proof)) for name, proof in found}


def names_of_tests(path: Path) -> list[str]:
    """The names of a file's tests."""
    return _TEST.findall(path.read_text(encoding="utf-8"))


def files_of_tests() -> list[Path]:
    """Every file of tests."""
    return sorted((ROOT / "tests").rglob("test_*.py"))
