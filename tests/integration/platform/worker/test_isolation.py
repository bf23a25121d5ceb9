"""Tasks that must run alone: they wait for company to end, but hold up nobody beside a long one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks, expire_leases
from task_platform.storage.pool import Pool

from ..processes import announce, running_relay, running_worker, submit, until_state
from .steps import sent, stuck_thread


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Leases so short that a task of seconds is a long one."""
    return settings.model_copy(update={"lease_s": 1, "renew_s": 0.25, "reaper_interval_s": 0.2})


async def lost_before(settings: Settings, pool: Pool, losses: int, **fields: Any) -> list[UUID]:
    """A task with which so many workers were lost in company, announced."""
    ids = await submit(pool, grace_s=3_600, **fields)
    for _ in range(losses):
        await claim_tasks(pool, ids, owner="dead", lease_s=-1, alone=True, in_company=True)
        # A relay that runs may come first.
        await expire_leases(pool)
    await announce(settings, ids)
    return ids


async def was_alone(pool: Pool, ids: list[UUID]) -> bool:
    """Whether the claim of a running task would be charged for its loss."""
    alone: bool = await pool.fetchval("select alone from claims where $1 = any(task_ids)", ids[0])
    return alone


async def test_beside_a_long_task_it_holds_up_nobody_wk16(settings: Settings, pool: Pool) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool):
        long = await sent(settings, pool, task_type="sleep", payload={"seconds": 60})
        await until_state(pool, long, "PROCESSING")
        isolated = await lost_before(settings, pool, 1, task_type="sleep", payload={"seconds": 1})
        await until_state(pool, isolated, "PROCESSING")
        assert not await was_alone(pool, isolated)
        quick = await sent(settings, pool, 20, task_type="sum")
        await until_state(pool, [*quick, *isolated], "SUCCEEDED")
        await until_state(pool, long, "PROCESSING")


async def test_after_each_loss_in_company_it_waits_longer_wk02(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool):
        long = await sent(settings, pool, task_type="sleep", payload={"seconds": 3})
        await until_state(pool, long, "PROCESSING")
        isolated = await lost_before(settings, pool, 4, task_type="sleep", payload={"seconds": 1})
        await until_state(pool, isolated, "PROCESSING")
        assert await was_alone(pool, isolated)
        await until_state(pool, [*long, *isolated], "SUCCEEDED")


async def test_a_thread_past_its_limit_is_company_wk02(settings: Settings, pool: Pool) -> None:
    async with stuck_thread(settings, pool):
        isolated = await lost_before(settings, pool, 1, task_type="sleep", payload={"seconds": 1})
        await until_state(pool, isolated, "PROCESSING")
        assert not await was_alone(pool, isolated)
        await until_state(pool, isolated, "SUCCEEDED")
