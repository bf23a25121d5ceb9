"""Trouble is told in a few lines, however many meet it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from task_platform import logs
from task_platform.logs import Outage


class Clock:
    """Monotonic seconds as the test says."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(logs, "monotonic", clock)
    return clock


@pytest.fixture
def said() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def test_many_retries_of_many_waiters_are_a_line_each_half_minute(
    clock: Clock, said: list[EventDict]
) -> None:
    outage = Outage("away")
    for _ in range(600):
        for part in ("claims", "outcomes", "leases"):
            outage.complain("refused", by=part)
        clock.now += 0.1
    assert [line["for_s"] for line in said] == [0, pytest.approx(30, abs=0.2)]
    assert said[0]["waiting"] == ["claims"]
    assert said[1]["waiting"] == ["claims", "leases", "outcomes"]
    assert said[1]["complaints"] > 800


def test_it_is_over_when_nobody_is_in_trouble_any_more(clock: Clock, said: list[EventDict]) -> None:
    outage = Outage("away")
    outage.complain("refused", by="claims")
    outage.complain("refused", by="outcomes")
    clock.now += 7
    outage.over(by="claims")
    outage.over(by="leases")
    was_on = outage.is_on
    outage.over(by="outcomes")
    outage.over(by="outcomes")
    assert (was_on, outage.is_on) == (True, False)
    assert [line["event"] for line in said] == ["away", "over: away"]
    assert (said[-1]["lasted_s"], said[-1]["complaints"]) == (7, 2)


def test_trouble_that_comes_and_goes_is_not_told_each_time(
    clock: Clock, said: list[EventDict]
) -> None:
    outage = Outage("away")
    for _ in range(120):
        outage.complain("refused", by="claims")
        clock.now += 0.25
        outage.over(by="claims")
        clock.now += 0.25
    assert len(said) == 4


def test_an_error_without_text_is_told_by_its_name(clock: Clock, said: list[EventDict]) -> None:
    Outage("away").complain(TimeoutError(), by="claims")
    assert said[0]["error"] == "TimeoutError"


def test_one_who_knows_may_call_it_over_for_all(clock: Clock, said: list[EventDict]) -> None:
    outage = Outage("away")
    outage.over()
    outage.complain("refused", by="claims")
    outage.complain("refused", by="leases")
    outage.over()
    outage.over()
    assert [line["event"] for line in said] == ["away", "over: away"]
