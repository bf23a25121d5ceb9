"""A drain: what was interrupted has ended before anybody else can begin it again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.worker import process

from ....factories import handler
from ..processes import rows, running_relay, running_worker, until_state
from .steps import nothing_left, sent


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """Running handlers are interrupted at once."""
    return settings.model_copy(update={"drain_grace_s": 0.0})


async def test_an_interrupted_handler_has_ended_before_its_task_goes_back_wk09(
    hasty: Settings, pool: Pool
) -> None:
    states_at_end: list[str] = []

    async def cleans_up(_: Any) -> str:
        if states_at_end:
            return "second"
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            states_at_end.append(await pool.fetchval("select state from tasks"))
        return "first"

    made = handler("unhurried", cleans_up, lane=Lane.LOOP)
    ids = await sent(hasty, pool, task_type="unhurried", max_retries=0)
    async with running_relay(hasty, pool):
        async with running_worker(hasty, pool, made):
            await until_state(pool, ids, "PROCESSING")
        assert states_at_end == ["PROCESSING"]
        assert (await rows(pool, ids))[0]["attempts"] == 0
        async with running_worker(hasty, pool, made):
            (row,) = await until_state(pool, ids, "SUCCEEDED")
    assert (row["result"], row["attempts"], row["fence"]) == ('"second"', 1, 2)
    await nothing_left(hasty, pool)


@pytest.mark.parametrize("lane", [Lane.LOOP, Lane.THREAD])
async def test_what_may_still_be_at_work_goes_back_for_later_wk09(
    hasty: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, lane: Lane
) -> None:
    monkeypatch.setattr(process, "INTERRUPTED_END_S", 0.2)
    release, released = asyncio.Event(), threading.Event()

    async def refuses(_: Any) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    def blocks(_: Any) -> None:
        released.wait(20)

    function = refuses if lane is Lane.LOOP else blocks
    ids = await sent(hasty, pool, task_type="busy", max_retries=0)
    try:
        async with running_worker(hasty, pool, handler("busy", function, lane=lane)):
            await until_state(pool, ids, "PROCESSING")
        (row,) = await pool.fetch("select *, due_at > now() as is_later from tasks")
        assert (row["state"], row["attempts"], row["is_later"]) == ("QUEUED", 0, True)
        assert await pool.fetchval("select count(*) from claims") == 0
        # Its first outbox row is still there as well.
        later = "select count(*) from outbox where available_at = (select due_at from tasks)"
        assert await pool.fetchval(later) == 1
    finally:
        release.set()
        released.set()
