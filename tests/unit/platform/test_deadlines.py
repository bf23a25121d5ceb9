"""Deadlines: everybody is answered in time, if only that it took too long."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.api.deadlines import Deadlines
from task_platform.errors import Overloaded


async def test_what_comes_in_time_is_what_is_brought() -> None:
    deadlines = Deadlines(60)
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 7)
    assert await deadlines.kept(future) == 7


async def test_an_error_is_handed_on() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_exception(KeyError("own"))
    with pytest.raises(KeyError, match="own"):
        await Deadlines(60).kept(future)


async def test_the_late_are_told_and_the_others_are_not() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(0.05)
    late, in_time = loop.create_future(), loop.create_future()
    waiting = [asyncio.create_task(deadlines.kept(future)) for future in (late, in_time)]
    await asyncio.sleep(0)
    in_time.set_result("here")
    async with asyncio.timeout(10):
        with pytest.raises(Overloaded):
            await waiting[0]
    assert await waiting[1] == "here"


async def test_whoever_gives_up_is_forgotten() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(0.02)
    future = loop.create_future()
    impatient = asyncio.create_task(deadlines.kept(future))
    await asyncio.sleep(0)
    impatient.cancel()
    async with asyncio.timeout(10):
        while deadlines._waiting:
            await asyncio.sleep(0.005)
    assert future.cancelled()
    # And the next one has a timer again.
    with pytest.raises(Overloaded):
        await deadlines.kept(loop.create_future())
