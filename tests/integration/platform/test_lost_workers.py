"""Workers that are killed or frozen: their tasks run again, soon, and nobody else pays for it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from task_lab.collect.witness import install_witness
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .processes import (
    announce,
    rows,
    running_relay,
    running_worker,
    submit,
    until,
    until_state,
)
from .real_processes import free_port, started

SHORT = {"LEASE_S": "2", "RENEW_S": "0.5", "REAPER_INTERVAL_S": "0.2", "DRAIN_GRACE_S": "5"}


async def until_consuming(pool: Pool, settings: Settings, workers: int) -> None:
    """Return once so many workers have taken a task: each gets the next message in turn."""

    async def all_took() -> bool:
        ids = await submit(pool, workers, task_type="sleep", payload={"seconds": 0.2})
        await announce(settings, ids)
        await until_state(pool, ids, "PROCESSING", within_s=20)
        owners = await pool.fetch("select distinct owner from claims")
        await until_state(pool, ids, "SUCCEEDED", within_s=20)
        return len(owners) == workers

    await until(all_took, within_s=30)


async def owned_by(pool: Pool, process: asyncio.subprocess.Process) -> list[UUID]:
    """The tasks that a worker process has claimed: an owner's name holds its process id."""
    owner = f"%:{process.pid}:%"
    found = await pool.fetch("select unnest(task_ids) as id from claims where owner like $1", owner)
    return [row["id"] for row in found]


async def guarded_effects(pool: Pool, ids: list[UUID]) -> list[int]:
    """How many guarded effects each task had."""
    found = await pool.fetch(
        "select count(e.id) from unnest($1::uuid[]) as t (id)"
        " left join effect_log e on e.task_id = t.id and e.kind = 'guarded' group by t.id",
        ids,
    )
    return [row["count"] for row in found]


async def test_a_killed_worker_costs_nobody_anything_wk01(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    await install_witness(settings.database_url.get_secret_value())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running_relay(settings, pool))
        workers = [
            await stack.enter_async_context(started(settings, "worker", tmp_path, **SHORT))
            for _ in range(3)
        ]
        await until_consuming(pool, settings, 3)
        ids = await submit(
            pool, 30, task_type="effect", payload={"seconds": 0.8, "via": "once"}, max_retries=0
        )

        async def all_started() -> bool:
            return all(row["fence"] for row in await rows(pool, ids))

        await until(all_started, within_s=20)
        lost = await owned_by(pool, workers[0])
        workers[0].kill()
        done = await until_state(pool, ids, "SUCCEEDED", within_s=60)
    assert {row["attempts"] for row in done} == {1}
    started_again = {row["id"] for row in done if row["fence"] > 1}
    assert started_again, "the killed worker held nothing: the fault did not bite"
    assert started_again <= set(lost)
    assert await guarded_effects(pool, ids) == [1] * 30
    states = await pool.fetch(
        "select distinct after from lab_transitions where task_id = any($1)", ids
    )
    assert {row["after"] for row in states} == {"QUEUED", "PROCESSING", "SUCCEEDED"}


async def test_from_a_kill_to_the_next_start_it_takes_a_lease_and_a_look_wk07(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """Bound: lease + interval of the reaper + poll of the relay; here three times that."""
    bound_s = settings.lease_s + settings.reaper_interval_s + settings.relay_poll_s
    brisk = settings.model_copy(update={"drain_grace_s": 0.0})
    async with (
        running_relay(settings, pool),
        started(settings, "worker", tmp_path, **SHORT) as worker,
    ):
        ids = await submit(pool, task_type="sleep", payload={"seconds": 60}, max_retries=0)
        await until_state(pool, ids, "PROCESSING", within_s=20)
        async with running_worker(brisk, pool):
            killed_at = await pool.fetchval("select clock_timestamp()")
            worker.kill()

            async def runs_again() -> bool:
                (row,) = await rows(pool, ids)
                return (row["state"], row["fence"]) == ("PROCESSING", 2)

            await until(runs_again, within_s=3 * bound_s)
            (row,) = await rows(pool, ids)
    after_s = (row["started_at"] - killed_at).total_seconds()
    assert 0 < after_s < 3 * bound_s
    assert row["attempts"] == 1


async def test_a_rescue_that_begins_long_after_the_death_finds_the_task_wk03(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    async with started(settings, "worker", tmp_path, **SHORT) as worker:
        ids = await submit(pool, task_type="sleep", payload={"seconds": 0.5}, max_retries=0)
        await announce(settings, ids)
        await until_state(pool, ids, "PROCESSING", within_s=20)
        worker.kill()
    # As if days had passed since: nothing but the lease itself tells of the worker.
    await pool.execute("update claims set expires_at = expires_at - interval '9 days'")
    await pool.execute("delete from outbox")
    async with running_relay(settings, pool), running_worker(settings, pool):
        (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=20)
    assert (row["fence"], row["attempts"]) == (2, 1)


async def test_a_frozen_worker_that_goes_on_changes_nothing_wk11_wk15(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        running_relay(settings, pool),
        started(settings, "worker", tmp_path, OPS_PORT=str(port), **SHORT) as frozen,
    ):
        ids = await submit(
            pool, task_type="effect", payload={"seconds": 1.5, "via": "once"}, max_retries=0
        )
        sleeping = await submit(pool, task_type="sleep", payload={"seconds": 1.5}, max_retries=0)
        await until_state(pool, ids + sleeping, "PROCESSING", within_s=20)
        frozen.send_signal(signal.SIGSTOP)
        try:
            async with running_worker(settings, pool):
                done = await until_state(pool, ids + sleeping, "SUCCEEDED", within_s=40)
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert {(row["fence"], row["attempts"]) for row in done} == {(2, 1)}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def all_given_up() -> bool:
                """Each task is done with here: as a lost update, or with its lost lease."""
                text = (await client.get("/metrics", timeout=10)).text
                return (
                    "worker_tasks_running 0.0" in text
                    and "worker_tasks_in_flight 0.0" in text
                    and "worker_lost_updates_total 0.0" not in text
                )

            await until(all_given_up, within_s=20)
        assert await rows(pool, ids + sleeping) == done
        assert await guarded_effects(pool, ids) == [1]


@pytest.mark.slow
async def test_a_task_that_kills_its_worker_runs_out_of_attempts_wk02(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """It starts once in company, for free, and max_retries + 1 times alone."""
    async with running_relay(settings, pool):
        killer = await submit(pool, task_type="crash", payload=None, max_retries=1)
        good = await submit(pool, 30, task_type="sleep", payload={"seconds": 0.1}, max_retries=0)
        deaths = 0
        state = ""
        while state != "FAILED":
            async with started(settings, "worker", tmp_path, **SHORT) as worker:

                async def is_over(worker: asyncio.subprocess.Process = worker) -> bool:
                    (row,) = await rows(pool, killer)
                    return row["state"] == "FAILED" or worker.returncode is not None

                await until(is_over, within_s=40)
                deaths += worker.returncode == 1
                state = (await rows(pool, killer))[0]["state"]
            assert deaths <= 3
        async with running_worker(settings, pool):
            done = await until_state(pool, good, "SUCCEEDED", within_s=40)
    (row,) = await rows(pool, killer)
    assert (deaths, row["attempts"], row["fence"]) == (3, 2, 4)
    assert "WorkerLost" in row["error"]
    assert await pool.fetchval("select reason from dead_letters") == "WorkerLost"
    assert {row["attempts"] for row in done} == {1}
