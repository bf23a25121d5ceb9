"""Trouble is told in a few lines, however many meet it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
import structlog
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


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What a process with its logging configured writes to stderr."""
    stderr, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.configure_logging("info", process="worker")
    yield stderr.getvalue
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = before


REFUSED = asyncpg.CheckViolationError(
    'new row violates check constraint "c"\nDETAIL:  Failing row contains (4111111111111111).'
)
NOT_ENCODED = asyncpg.DataError("invalid input for query argument $5: ['4111111111111111'] (a\nb)")
WITH_URL = RuntimeError("cannot connect to amqp://app:hunter2@broker/")


@pytest.mark.parametrize("error", [REFUSED, NOT_ENCODED, WITH_URL])
def test_an_exception_is_logged_without_values_and_credentials(
    written: Callable[[], str], error: Exception
) -> None:
    def fail(payload: dict[str, Any], url: str) -> None:
        raise error

    try:
        fail({"card": "4111111111111111"}, "amqp://app:hunter2@broker/")
    except Exception as caught:
        try:
            raise ValueError("again") from caught
        except ValueError as second:
            structlog.get_logger().error("failed", exc_info=second)
            logging.getLogger("somebody").error("failed %s", "too", exc_info=second)
    lines = [json.loads(line) for line in written().splitlines()]
    assert [line["event"] for line in lines] == ["failed", "failed too"]
    for line in lines:
        again, first = line["exception"]
        assert (again["exc_type"], first["exc_type"]) == ("ValueError", type(error).__name__)
        assert [frame["name"] for frame in first["frames"]][-1] == "fail"
    assert "4111111111111111" not in written()
    assert "hunter2" not in written()


def test_of_a_group_each_exception_is_guarded_and_every_note(written: Callable[[], str]) -> None:
    inner = RuntimeError("cannot connect to amqp://app:hunter2@broker/")
    inner.add_note("password=hunter2")
    group = ExceptionGroup("two", [REFUSED, ExceptionGroup("inner", [inner])])
    structlog.get_logger().error("failed", exc_info=group)
    ((told,),) = ([json.loads(line)["exception"] for line in written().splitlines()],)
    assert len(told[0]["exceptions"]) == 2
    assert "4111111111111111" not in written()
    assert "hunter2" not in written()


def test_a_task_that_nobody_waited_for_is_logged_without_its_objects(
    written: Callable[[], str],
) -> None:
    async def forget() -> None:
        async def fail() -> None:
            raise RuntimeError("4111111111111111\n4111111111111111")

        asyncio.get_running_loop().call_exception_handler(
            {"message": "it failed", "future": asyncio.ensure_future(fail())}
        )
        await asyncio.sleep(0)

    asyncio.run(forget())
    first = json.loads(written().splitlines()[0])
    assert first["event"] == "it failed"


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
