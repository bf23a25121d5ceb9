"""The page of guarantees is true: each case it names has tests of that id where it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..case_pages import ROOT, files_of_tests, names_of_tests, rows_of

PAGE = ROOT / "docs" / "reference" / "guarantees.md"
_CASE = re.compile(r"_(br|wk|rt|idm|in|db|obs|ob)(\d\d)(?=_|$)")


def cases_of(path: Path) -> set[str]:
    """Case ids in the names of a file's tests."""
    names = names_of_tests(path)
    return {f"{group.upper()}-{number}" for name in names for group, number in _CASE.findall(name)}


ROWS = rows_of(PAGE, r"[A-Z]+-\d\d")


@pytest.mark.parametrize("case", sorted(ROWS))
def test_each_guarantee_is_proven_where_the_page_says(case: str) -> None:
    assert ROWS[case], "no test is named"
    for test_file in ROWS[case]:
        assert case in cases_of(ROOT / test_file), test_file


def test_no_case_with_a_test_is_left_out() -> None:
    tested = {case for path in files_of_tests() for case in cases_of(path)}
    # Two tenants are only reachable through the storage until there are log-ins.
    assert tested - set(ROWS) <= {"IDM-06"}
