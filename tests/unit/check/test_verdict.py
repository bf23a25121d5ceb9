"""How verdicts combine, and the exit codes they end commands with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.check.verdict import EXIT_CODES, Verdict, combine

PASS, FAIL, UNKNOWN, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.INVALID


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], UNKNOWN),
        ([PASS, PASS], PASS),
        ([PASS, UNKNOWN], UNKNOWN),
        ([UNKNOWN, INVALID], INVALID),
        ([INVALID, FAIL, PASS], FAIL),
        ([FAIL, Verdict.INTERRUPTED], FAIL),
        ([INVALID, Verdict.INTERRUPTED, UNKNOWN], Verdict.INTERRUPTED),
    ],
)
def test_the_gravest_part_decides(parts: list[Verdict], whole: Verdict) -> None:
    assert combine(parts) is whole


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_a_whole_passes_only_if_every_part_does(parts: list[Verdict]) -> None:
    assert (combine(parts) is PASS) == (set(parts) == {PASS})


def test_exit_codes_are_the_documented_ones() -> None:
    assert {verdict.value: code for verdict, code in EXIT_CODES.items()} == {
        "PASS": 0,
        "FAIL": 1,
        "UNKNOWN": 2,
        "INVALID": 4,
        "INTERRUPTED": 130,
    }
