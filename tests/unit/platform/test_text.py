"""Text that clients chose, on somebody's terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.tools.text import as_json, printable, shortened


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
