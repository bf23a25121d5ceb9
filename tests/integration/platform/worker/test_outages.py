"""The database is away for longer than a lease: nothing is lost, run twice or charged for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from task_platform.settings import Settings
from task_platform.storage.outcomes import Success, finish_succeeded
from task_platform.storage.pool import Pool, open_pool
from task_platform.worker import completer, process

from ....link import linked_broker, linked_database
from ..processes import (
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


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["cut", "frozen"])
async def test_results_outlast_a_database_that_is_away_for_longer_than_a_lease_wk05(
    settings: Settings, pool: Pool, outage: str
) -> None:
    await _outlast(settings, pool, outage, lease_s=4.0)


async def test_results_outlast_a_short_outage_longer_than_a_lease_wk05(
    settings: Settings, pool: Pool
) -> None:
    await _outlast(settings, pool, "cut", lease_s=2.0)


async def _outlast(settings: Settings, pool: Pool, outage: str, *, lease_s: float) -> None:
    """Tasks end, and are delivered, while nobody can reach the database."""
    async with linked_database(settings, lease_s=lease_s, renew_s=0.3) as (link, away):
        relay_pool, worker_pool = [await open_pool(away, process="test") for _ in range(2)]
        async with (
            running_relay(away, relay_pool) as relay,
            running_worker(away, worker_pool) as worker,
        ):
            # The reaper has watched for long enough to end leases.
            await asyncio.sleep(lease_s)
            ending = await submit(pool, 5, task_type="sleep", payload={"seconds": 0.7})
            lasting = await submit(
                pool, 2, task_type="sleep", payload={"seconds": 2 * lease_s}, max_retries=0
            )
            await until_state(pool, ending + lasting, "PROCESSING")
            if outage == "cut":
                await link.cut()
            else:
                link.freeze()
            await until_sample(worker, "worker_tasks_running", 2)
            waiting = await sent(settings, pool, 5)

            async def all_ran_out() -> bool:
                count = "select count(*) from claims where expires_at < now() - $1 * interval '1 s'"
                return bool(await pool.fetchval(count, lease_s / 4))

            await until(all_ran_out, within_s=20)
            assert {row["state"] for row in await rows(pool, ending)} == {"PROCESSING"}
            await link.heal()
            done = await until_state(pool, ending + lasting + waiting, "SUCCEEDED", within_s=30)
            assert {(row["fence"], row["attempts"], row["isolate"]) for row in done} == {
                (1, 1, False)
            }
            assert sample(worker, "worker_lost_updates_total") == 0
            assert sample(relay, "relay_leases_expired_total") == 0
            await until_sample(worker, "worker_tasks_in_flight", 0)
        for opened in (relay_pool, worker_pool):
            await opened.close()
    await nothing_left(settings, pool)


async def test_nothing_more_is_claimed_while_many_outcomes_wait(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def held_up(pool: Pool, successes: Sequence[Success], **closing: Any) -> set[UUID]:
        await gate.wait()
        return await finish_succeeded(pool, successes, **closing)

    monkeypatch.setattr(completer, "finish_succeeded", held_up)
    monkeypatch.setattr(process, "MAX_WAITING_OUTCOMES", 5)
    ids = await sent(settings, pool, 200)
    async with (
        linked_broker(settings, drain_grace_s=0.0) as (link, own),
        running_worker(own, pool) as worker,
    ):

        async def claimed() -> int:
            count = "select count(*) from tasks where state = 'PROCESSING'"
            found: int = await pool.fetchval(count)
            return found

        async def is_full() -> bool:
            return sample(worker, "worker_tasks_in_flight") >= 20

        await until(is_full)
        await until(claimed)
        # Each new channel brings as many deliveries again.
        for channel in range(2, 5):
            await link.cut()
            await link.heal()
            await until_sample(worker, "worker_consumer_starts_total", channel)
            await until(is_full)
        await asyncio.sleep(0.3)
        assert await claimed() <= 45
        gate.set()
        done = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert {row["fence"] for row in done} == {1}
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)
