"""The worker's own bookkeeping leaves no task behind, whatever happens in the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest
from task_platform.errors import DatabaseUnavailable
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.claims import Claim, claim_tasks, existing_tasks
from task_platform.storage.pool import Pool
from task_platform.worker import intake
from task_platform.worker.executor import Executor, Outcome
from task_platform.worker.work import Assignment

from ....factories import handler, some_ids
from ..processes import (
    announce,
    delete_queue,
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until,
    until_sample,
    until_state,
)
from .steps import nothing_left


async def test_a_neighbour_that_ends_later_does_not_close_a_claim_left_to_the_reaper(
    settings: Settings, pool: Pool
) -> None:
    """Of one claim, the first outcome cannot be committed, and the second comes after it."""
    await pool.execute("alter table attempt_failures add check (message <> 'poison')")
    failing = await submit(
        pool, grace_s=3_600, task_type="fail", payload={"message": "poison"}, max_retries=0
    )
    lasting = await submit(pool, grace_s=3_600, task_type="sleep", payload={"seconds": 0.7})
    await announce(settings, failing + lasting)
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        await until_state(pool, lasting, "SUCCEEDED")
        (row,) = await until_state(pool, failing, "FAILED", within_s=30)
        assert "WorkerLost" in row["error"]
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)


@pytest.mark.parametrize("isolate", [False, True])
async def test_a_claim_whose_answer_was_lost_is_made_again_and_charged_once(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, isolate: bool
) -> None:
    claims: list[int] = []

    async def answer_lost(pool: Pool, ids: Collection[UUID], **how: Any) -> Claim:
        claim = await claim_tasks(pool, ids, **how)
        if claim.tasks:
            claims.append(len(claim.tasks))
            if len(claims) == 1:
                raise DatabaseUnavailable("the answer was lost")
        return claim

    monkeypatch.setattr(intake, "claim_tasks", answer_lost)
    ids = await submit(pool, 3, grace_s=3_600, max_retries=0)
    await pool.execute("update tasks set isolate = $1", isolate)
    await announce(settings, ids)
    patient = settings.model_copy(update={"lease_s": 60.0})
    async with running_worker(patient, pool) as worker:
        done = await until_state(pool, ids, "SUCCEEDED")
        assert {row["attempts"] for row in done} == {1}
        await until_sample(worker, "worker_tasks_in_flight", 0)
    assert len(claims) > 1
    await nothing_left(settings, pool)


async def test_a_task_that_brought_no_outcome_comes_back(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, broken = Executor.run, asyncio.Event()

    async def broken_once(executor: Executor, assignment: Assignment) -> Outcome:
        if not broken.is_set():
            broken.set()
            raise RuntimeError("a fault of the platform's own")
        return await run(executor, assignment)

    monkeypatch.setattr(Executor, "run", broken_once)
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        ids = await submit(pool, 3, task_type="sleep", payload={"seconds": 0}, max_retries=0)
        done = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert {row["attempts"] for row in done} == {1}
        await until_sample(worker, "worker_tasks_in_flight", 0)
    assert broken.is_set()
    await nothing_left(settings, pool)


async def test_what_is_claimed_runs_while_its_neighbours_wait_to_be_let_go(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def held_up(pool: Pool, ids: Collection[UUID]) -> set[UUID]:
        await gate.wait()
        return await existing_tasks(pool, ids)

    monkeypatch.setattr(intake, "existing_tasks", held_up)
    ids = await submit(pool, grace_s=3_600, task_type="sleep", payload={"seconds": 3})
    await announce(settings, ids + ids)
    async with running_relay(settings, pool) as relay, running_worker(settings, pool) as worker:
        (row,) = await until_state(pool, ids, "SUCCEEDED")
        assert (row["fence"], row["attempts"]) == (1, 1)
        assert sample(relay, "relay_leases_expired_total") == 0
        gate.set()
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)


async def test_a_look_for_a_missing_row_that_fails_is_made_again(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    async def fails_once(pool: Pool, ids: Collection[UUID]) -> set[UUID]:
        looks.append(len(ids))
        if len(looks) == 2:
            raise ValueError("a fault of the platform's own")
        return await existing_tasks(pool, ids)

    monkeypatch.setattr(intake, "ROWLESS_PAUSE_S", 0.05)
    monkeypatch.setattr(intake, "existing_tasks", fails_once)
    await announce(settings, some_ids(1))
    async with running_worker(settings, pool) as worker:

        async def is_buried() -> bool:
            return bool(await pool.fetch("select 1 from dead_letters where reason = 'NoSuchTask'"))

        await until(is_buried)
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)


async def test_tasks_set_aside_outlast_their_channel(settings: Settings, pool: Pool) -> None:
    """Deliveries of tasks that wait to run alone belong to a channel that is lost meanwhile."""
    release = asyncio.Event()

    async def waits(_: Any) -> None:
        await release.wait()

    made = handler("waits", waits, lane=Lane.LOOP)
    ids = await submit(pool, 4, grace_s=3_600, task_type="waits", max_retries=0)
    await pool.execute("update tasks set isolate = true")
    await announce(settings, ids)
    async with running_worker(settings, pool, made) as worker:

        async def one_runs() -> bool:
            return [row["state"] for row in await rows(pool, ids)].count("PROCESSING") == 1

        await until(one_runs)
        await delete_queue(settings)
        await until_sample(worker, "worker_consumer_starts_total", 2, within_s=15)
        release.set()
        done = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert {row["attempts"] for row in done} == {1}
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)
