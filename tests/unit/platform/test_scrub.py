"""Error text as it is stored."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.scrub import MAX_MESSAGE, describe, scrub


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://app:hunter2@db/tasks",
        "amqp://app:hunter2@x@broker:5672/ refused",
        "password=hunter2",
        "db_password = hunter2, retrying",
        "PASSWORD: hunter2",
        "{'password': 'hunter2'}",
        "{'password': 'very hunter2'}",
        '{"api_key": "hunter2"}',
        "Authorization: Bearer hunter2",
        "{'Authorization': 'Bearer hunter2'}",
        "https://host/path?token=hunter2&x=1",
        "secret_key=hunter2",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert "hunter2" not in scrub(text)
    assert "***" in scrub(text)


@pytest.mark.parametrize(
    "text", ["division by zero", "see https://example.org/a", "key 'a' missing"]
)
def test_other_text_is_kept(text: str) -> None:
    assert scrub(text) == text


@given(st.text(max_size=3 * MAX_MESSAGE))
def test_scrubbed_text_can_be_stored(text: str) -> None:
    scrubbed = scrub(text)
    assert len(scrubbed) <= MAX_MESSAGE
    assert "\x00" not in scrubbed
    scrubbed.encode("utf-8")


@pytest.mark.parametrize("part", ["a", "a://", "password", "token:", "token =", "\x00"])
def test_long_text_is_scrubbed_in_moments(part: str) -> None:
    started = perf_counter()
    assert len(scrub(part * (10_000_000 // len(part)))) <= MAX_MESSAGE
    assert perf_counter() - started < 0.5


class Unprintable(Exception):
    def __init__(self, reason: BaseException) -> None:
        self.reason = reason

    def __str__(self) -> str:
        raise self.reason


@pytest.mark.parametrize("reason", [ValueError("x"), SystemExit(1), RecursionError()])
def test_an_error_that_cannot_be_printed_is_described_in11(reason: BaseException) -> None:
    name, message = describe(Unprintable(reason))
    assert name == "Unprintable"
    assert type(reason).__name__ in message


def test_an_error_whose_text_is_no_text_is_described_in11() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            return 5  # type: ignore[return-value]  # noqa: PLE0307

    assert "TypeError" in describe(Odd())[1]


def test_an_error_is_described_by_name_and_text() -> None:
    assert describe(KeyError("a")) == ("KeyError", "'a'")
