"""The page of the lab's cases is true: each has tests of its id where it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..case_pages import ROOT, files_of_tests, names_of_tests, rows_of

# One test may prove several: test_a4_a5_…
_CASES = re.compile(r"^test_((?:[a-f]\d{1,2}_)+)")
ROWS = rows_of(ROOT / "docs" / "reference" / "lab-cases.md", r"[A-F]\d{1,2}")
# The kinds of case that the page is about, by their letters.
KINDS = {case[0] for case in ROWS}


def cases_of(path: Path) -> set[str]:
    """Case ids that the names of a file's tests begin with."""
    found = (_CASES.match(name) for name in names_of_tests(path))
    named = {case.upper() for one in found if one for case in one[1].strip("_").split("_")}
    return {case for case in named if case[0] in KINDS}


@pytest.mark.parametrize("case", sorted(ROWS))
def test_each_case_is_proven_where_the_page_says(case: str) -> None:
    assert ROWS[case], "no test is named"
    for test_file in ROWS[case]:
        assert case in cases_of(ROOT / test_file), test_file


def test_no_case_with_a_test_is_left_out() -> None:
    assert {case for path in files_of_tests() for case in cases_of(path)} == set(ROWS)
