"""Whoever opens a pool hears how long its connections were waited for."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.errors import DatabaseUnavailable
from task_platform.settings import Settings
from task_platform.storage import pool as pool_module
from task_platform.storage.health import database_now
from task_platform.storage.pool import acquired, close_pool, open_pool


async def test_each_wait_is_told_and_one_that_was_given_up_too_db05(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    pool = await open_pool(settings, process="test", size=1, on_wait=waits.append)
    try:
        await database_now(pool)
        assert len(waits) == 1
        async with acquired(pool):
            behind = asyncio.create_task(database_now(pool))
            await asyncio.sleep(0.2)
        await behind
        assert len(waits) == 3
        assert waits[2] >= 0.15
        monkeypatch.setattr(pool_module, "POOL_WAIT_S", 0.1)
        async with acquired(pool):
            with pytest.raises(DatabaseUnavailable):
                await database_now(pool)
        assert len(waits) == 5
        assert waits[4] >= 0.1
    finally:
        await close_pool(pool)
