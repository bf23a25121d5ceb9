"""The page of guarantees is true: each case it names has tests of that id where it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "guarantees.md"
_ROW = re.compile(r"^\| ([A-Z]+)-(\d\d) \|.*\| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
_LINK = re.compile(r"\]\(\.\./\.\./(tests/[\w/]+\.py)\)")
_CASE = re.compile(r"_(br|wk|rt|idm|in|db|obs|ob)(\d\d)(?=_|$)")


def cases_of(path: Path) -> set[str]:
    """Case ids in the names of a file's tests."""
    names = _TEST.findall(path.read_text(encoding="utf-8"))
    return {f"{group.upper()}-{number}" for name in names for group, number in _CASE.findall(name)}


ROWS = {
    f"{group}-{number}": set(_LINK.findall(proof))
    for group, number, proof in _ROW.findall(PAGE.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("case", sorted(ROWS))
def test_each_guarantee_is_proven_where_the_page_says(case: str) -> None:
    assert ROWS[case], "no test is named"
    for test_file in ROWS[case]:
        assert case in cases_of(ROOT / test_file), test_file


def test_no_case_with_a_test_is_left_out() -> None:
    tested = {case for path in (ROOT / "tests").rglob("test_*.py") for case in cases_of(path)}
    # Two tenants are only reachable through the storage until there are log-ins.
    assert tested - set(ROWS) <= {"IDM-06"}
