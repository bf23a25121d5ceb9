"""Whoever lost its lease may work on, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from task_platform.handlers.context import TaskContext
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.worker import leases

from ....factories import handler
from ..processes import (
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until_sample,
    until_state,
)
from .steps import nothing_left


@pytest.fixture
def frozen_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals never reach the database, and nobody notices."""

    async def renewed(_pool: Pool, claim_ids: Collection[int], **_: Any) -> set[int]:
        return set(claim_ids)

    monkeypatch.setattr(leases, "renew_claims", renewed)


@pytest.mark.usefixtures("frozen_renewals")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_late_outcome_touches_no_row_and_is_counted_wk11_wk15(
    settings: Settings, pool: Pool, fails: bool
) -> None:
    release = asyncio.Event()
    fences: list[int] = []

    async def first_hangs(_: Any, context: TaskContext) -> int:
        fences.append(context.fence)
        if context.fence == 1:
            await release.wait()
            if fails:
                raise RuntimeError("too late")
        return context.fence

    made = handler("slow", first_hangs, lane=Lane.LOOP, takes_context=True)
    async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
        ids = await submit(pool, task_type="slow", max_retries=0)
        (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert (row["fence"], row["attempts"], row["result"]) == (2, 1, "2")
        assert sample(worker, "worker_lost_updates_total") == 0
        release.set()
        await until_sample(worker, "worker_lost_updates_total", 1)
        assert await rows(pool, ids) == [row]
        assert sample(worker, "worker_tasks_processed_total", task_type="slow") == 1
        assert sample(worker, "worker_tasks_failed_total", task_type="slow") == 0
        await until_sample(worker, "worker_tasks_in_flight", 0)
    assert fences == [1, 2]
    await nothing_left(settings, pool)
