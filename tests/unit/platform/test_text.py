"""Text that clients chose, on somebody's terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from task_platform.tools.text import as_json, cut, printable, shortened, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with spaces", "plain, with spaces"),
        ("Grüße 東京", "Grüße 東京"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("abc\u202edcba\u200b", r"abc\u202edcba\u200b"),
        ("\u2028\ud800\U000e0041", r"\u2028\ud800\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_written_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_everything_shown_is_printable(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text())
def test_json_is_printable_ascii_and_says_the_same(text: str) -> None:
    line = as_json({text: [text]})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {text: [text]}


def test_long_text_is_cut() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_are_written_as_the_api_writes_them(moment: datetime) -> None:
    assert as_json({"at": moment}) == '{"at": "2026-01-31T12:00:00.000000Z"}'


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abc defg", 5, "abc…"),
        ("東京都", 6, "東京都"),
        ("東京都", 5, "東京…"),
        ("東京都", 4, "東…"),
        ("abcdefg", None, "abcdefg"),
    ],
)
def test_text_is_cut_to_columns_of_a_terminal(text: str, width: int | None, shown: str) -> None:
    assert cut(text, width) == shown


def test_a_table_has_one_line_a_row_and_cuts_the_last_column_only() -> None:
    rows = [["id", "reason"], ["a-long-id", "a reason that is much too long"], ["東京", "short"]]
    lines = table(rows, width=24)
    assert lines == ["id         reason", "a-long-id  a reason tha…", "東京       short"]
    assert max(map(cell_len, lines)) == 24
    assert table(rows, width=None)[1] == "a-long-id  a reason that is much too long"
    assert table(rows, width=5)[1] == "a-long-id  …"
