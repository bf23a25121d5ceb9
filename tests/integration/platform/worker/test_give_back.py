"""What waits in one worker while others idle finds its way to them, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from uuid import UUID

import pytest
from task_platform.errors import DatabaseUnavailable
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.claims import hand_on
from task_platform.storage.pool import Pool
from task_platform.worker import give_back

from ....link import linked_broker
from ..processes import (
    announce,
    messages_in,
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until,
    until_sample,
    until_state,
)
from .steps import nothing_left, sent

HandOn = Callable[[Pool, Collection[UUID]], Awaitable[set[UUID]]]


async def test_new_workers_take_over_what_a_burst_left_in_the_first_wk13(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"worker_concurrency": 2})
    async with running_relay(settings, pool), running_worker(settings, pool) as first:
        fast = await submit(pool, 2_000)
        await until_state(pool, fast, "SUCCEEDED", within_s=30)
        # 20 s of work for the first worker alone.
        slow = await sent(settings, pool, 80, task_type="sleep", payload={"seconds": 0.5})
        # Not all of them, as the first end while the last ones come.
        await until_sample(first, "worker_tasks_in_flight", 60, or_more=True)
        async with (
            running_worker(settings, pool) as second,
            running_worker(settings, pool) as third,
        ):
            joined = monotonic()
            for worker in (second, third):
                await until_sample(worker, "worker_tasks_running", 2, within_s=9)
            done = await until_state(pool, slow, "SUCCEEDED", within_s=40)
            took_s = monotonic() - joined
            for worker in (second, third):
                assert sample(worker, "worker_tasks_processed_total", task_type="sleep") >= 10
        assert {row["attempts"] for row in done} == {1}
        assert took_s < 15, "hardly faster than the first worker alone"
    await nothing_left(settings, pool)


async def test_a_task_that_runs_alone_does_not_keep_others_waiting_wk13_wk16(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool) as first:
        alone, quick = await one_that_runs_alone(settings, pool, first)
        async with running_worker(settings, pool):
            done = await until_state(pool, quick, "SUCCEEDED", within_s=30)
            assert {row["fence"] for row in done} == {1}
            assert (await rows(pool, alone))[0]["state"] == "PROCESSING"
            assert sample(first, "worker_deliveries_handed_on_total") >= 1
            await until_sample(first, "worker_tasks_in_flight", 1)
    assert (await rows(pool, alone))[0]["attempts"] == 0


@pytest.mark.parametrize("fault", ["refused", "answer lost", "broker gone"])
async def test_what_fails_while_handing_on_loses_nothing_wk13(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    looks: list[int] = []
    async with linked_broker(settings) as (link, first_settings):

        async def disturbed(pool: Pool, ids: Collection[UUID]) -> set[UUID]:
            looks.append(len(ids))
            if len(looks) > 1:
                return await hand_on(pool, ids)
            if fault == "refused":
                raise DatabaseUnavailable("told to fail")
            known = await hand_on(pool, ids)
            if fault == "answer lost":
                raise DatabaseUnavailable("told to fail")
            await link.cut()
            await link.heal()
            return known

        monkeypatch.setattr(give_back, "hand_on", disturbed)
        async with running_relay(settings, pool), running_worker(first_settings, pool) as first:
            _, quick = await one_that_runs_alone(settings, pool, first)
            async with running_worker(settings, pool):
                done = await until_state(pool, quick, "SUCCEEDED", within_s=30)
                assert looks
                assert {(row["fence"], row["attempts"]) for row in done} == {(1, 1)}
    assert await pool.fetchval("select count(*) from claims") == 0


@pytest.mark.slow
async def test_behind_tasks_that_hang_nothing_waits_although_others_are_busy_wk16_br20(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(
        update={"worker_concurrency": 2, "lease_s": 1, "renew_s": 0.25, "reaper_interval_s": 0.2}
    )
    over = asyncio.Event()

    async def feed() -> None:
        """More than the other worker can do, so that the queue is never empty."""
        while not over.is_set():
            if await messages_in(settings) < 20:
                await sent(settings, pool, 20, task_type="sleep", payload={"seconds": 0.1})
            await asyncio.sleep(0.1)

    async with running_relay(settings, pool), running_worker(settings, pool) as first:
        hanging = await sent(settings, pool, 2, task_type="sleep", payload={"seconds": 120})
        await until_state(pool, hanging, "PROCESSING")
        behind = await sent(settings, pool, 2, task_type="sleep", payload={"seconds": 0})
        await until_sample(first, "worker_tasks_in_flight", 4)
        async with running_worker(settings, pool):
            feeding = asyncio.create_task(feed())
            done = await until_state(pool, behind, "SUCCEEDED", within_s=45)
            assert {row["attempts"] for row in done} == {1}
            over.set()
            await feeding
        assert {row["state"] for row in await rows(pool, hanging)} == {"PROCESSING"}


@pytest.mark.slow
async def test_behind_tasks_that_are_merely_long_each_keeps_its_place_wk16(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(
        update={"worker_concurrency": 2, "lease_s": 1, "renew_s": 0.25, "reaper_interval_s": 0.2}
    )
    async with (
        running_relay(settings, pool),
        running_worker(settings, pool) as first,
        running_worker(settings, pool) as second,
    ):
        long = await sent(settings, pool, 20, task_type="sleep", payload={"seconds": 4})

        async def know_how_long_they_take() -> bool:
            workers = (first, second)
            return all(
                sample(w, "worker_tasks_processed_total", task_type="sleep") for w in workers
            )

        await until(know_how_long_they_take)
        before = {row["id"]: row["fence"] for row in await rows(pool, long)}
        done = await until_state(pool, long, "SUCCEEDED", within_s=60)
        # Whoever waits from now on is claimed once, when its turn has come.
        assert all(row["fence"] <= before[row["id"]] + 1 for row in done)
        assert max(row["fence"] for row in done) <= 3


async def one_that_runs_alone(
    settings: Settings, pool: Pool, worker: Service
) -> tuple[list[UUID], list[UUID]]:
    """A task that runs alone for a minute, and six quick ones of which the same worker has some."""
    alone = await submit(pool, grace_s=3_600, task_type="sleep", payload={"seconds": 60})
    await pool.execute("update tasks set isolate = true where id = any($1)", alone)
    await announce(settings, alone)
    await until_state(pool, alone, "PROCESSING")
    quick = await sent(settings, pool, 6, task_type="sleep", payload={"seconds": 0})

    async def has_some() -> bool:
        return sample(worker, "worker_tasks_in_flight") > 1

    await until(has_some)
    return alone, quick


async def test_alone_at_work_a_worker_keeps_what_it_has_wk13(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        await one_that_runs_alone(settings, pool, worker)
        await asyncio.sleep(2.5)  # two looks
        assert sample(worker, "worker_deliveries_handed_on_total") == 0
        assert sample(worker, "worker_tasks_in_flight") > 1
