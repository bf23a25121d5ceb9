"""Counts by second, levels by second, and the characters they are drawn with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.live.glyphs import ASCII, BLOCKS, bar, clock, sparkline
from task_lab.live.rates import Level, Pace, resampled

NOW = 1_760_000_000.0
VALUES = st.lists(st.none() | st.floats(0, 1e9), max_size=80)


def test_the_rate_is_of_the_last_second_alone() -> None:
    pace = Pace()
    for n in range(300):
        pace.add(NOW - 3 + n / 100)
    assert pace.per_s(NOW) == 100
    assert pace.per_s(NOW + 0.5) == 50
    assert pace.per_s(NOW + 10) == 0


def test_what_is_told_late_counts_in_its_own_second() -> None:
    pace = Pace()
    pace.add(NOW - 1.5)
    pace.per_s(NOW)
    pace.add(NOW - 59.5, count=7)
    last = pace.last(NOW)
    assert len(last) == 60
    assert (last[0], last[-2], last[-1]) == (7, 1, 0)


def test_seconds_before_the_beginning_have_no_count() -> None:
    assert Pace().last(NOW, 4, since=NOW - 2) == [None, None, 0, 0]


def test_a_curve_has_every_second_between_the_first_and_the_last() -> None:
    pace = Pace()
    pace.add(NOW)
    pace.add(NOW + 3.2, count=2)
    assert [count for _, count in pace.curve()] == [1, 0, 0, 2]
    assert Pace().curve() == []


def test_a_level_keeps_the_highest_of_each_second_and_knows_when_it_is_unknown() -> None:
    level = Level()
    for at, value in ((0.0, 5.0), (0.25, 9.0), (0.5, 2.0), (1.0, None)):
        level.set(NOW + at, value)
    assert level.last(NOW + 2, 3) == [None, 9.0, None]
    assert level.latest is None
    assert level.curve() == [(int(NOW), 9.0)]


@given(VALUES, st.integers(1, 300))
def test_resampling_keeps_the_highest_and_invents_nothing(
    values: list[float | None], columns: int
) -> None:
    drawn = resampled(values, columns)
    assert len(drawn) == columns
    known = {value for value in values if value is not None}
    assert {value for value in drawn if value is not None} <= known
    if values and columns <= len(values) and known:
        assert max(value for value in drawn if value is not None) == max(known)


@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
@given(values=VALUES)
def test_a_sparkline_has_a_character_for_each_value(
    values: list[float | None], glyphs: object
) -> None:
    assert glyphs in (BLOCKS, ASCII)
    drawn = sparkline(values, BLOCKS if glyphs is BLOCKS else ASCII)
    assert len(drawn) == len(values)
    assert all((char == " ") == (value is None) for char, value in zip(drawn, values, strict=True))


def test_nothing_and_little_look_different() -> None:
    assert sparkline([0, 1, 1000, None]) == "▁▂█ "
    assert sparkline([0, 0]) == "▁▁"


@given(st.floats(-1, 2), st.integers(4, 200))
def test_a_bar_is_full_only_when_all_is_done(share: float, width: int) -> None:
    done, left = bar(share, width)
    assert len(done) + len(left) == width
    assert (not left) == (share >= 1)
    assert (not done) == (share <= 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03")],
)
def test_a_time_span_is_told_as_a_clock_does(seconds: float, text: str) -> None:
    assert clock(seconds) == text
