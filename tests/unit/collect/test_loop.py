"""A loop of one's own, for callers that cannot wait in theirs."""

from __future__ import annotations

import asyncio
import threading

import pytest
from task_lab.collect.loop import LoopThread


async def double(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


async def test_a_call_returns_inside_a_running_loop() -> None:
    loop = LoopThread()
    assert loop.run(double(21)) == 42
    loop.stop()


def test_errors_come_back_to_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    loop = LoopThread()
    with pytest.raises(LookupError, match="gone"):
        loop.run(fail())
    loop.stop()


def test_a_call_that_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    loop = LoopThread()
    with pytest.raises(TimeoutError):
        loop.run(hang(), timeout_s=0.01)
    assert cancelled.wait(5)
    loop.stop()


def test_stopping_cancels_what_runs_and_ends_the_thread() -> None:
    cleaned_up = threading.Event()

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    before = threading.active_count()
    loop = LoopThread()
    loop.spawn(watch())
    loop.run(double(1))
    loop.stop()
    loop.stop()
    assert cleaned_up.is_set()
    assert threading.active_count() == before
