"""The next claim is on its way while tasks run: whatever becomes of it, its tasks run once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest
from task_platform.settings import Settings
from task_platform.storage.claims import Claim, claim_tasks
from task_platform.storage.pool import Pool
from task_platform.worker import intake
from task_platform.worker.intake import Intake, Taken

from ..processes import (
    announce,
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until_sample,
    until_state,
)

TASKS = 60


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Taken]:
    """What each claim of a batch has brought, as far as it brought anything."""
    taken: list[Taken] = []
    claim_batch = Intake.claim_batch

    async def noted(of: Intake, room: int) -> Taken:
        answer = await claim_batch(of, room)
        if answer.assignments:
            taken.append(answer)
        return answer

    monkeypatch.setattr(Intake, "claim_batch", noted)
    return taken


async def test_a_claim_under_way_at_the_end_of_a_worker_leaves_nothing_behind(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(pool: Pool, ids: Collection[UUID], **how: Any) -> Claim:
        claim = await claim_tasks(pool, ids, **how)
        asked.set()
        await answer.wait()
        return claim

    monkeypatch.setattr(intake, "claim_tasks", slow)
    patient = settings.model_copy(update={"lease_s": 60.0})
    ids = await submit(pool, TASKS, grace_s=3_600, max_retries=0)
    await announce(settings, ids)
    async with running_worker(patient, pool) as worker:
        await asked.wait()
        worker.stopping.set()
        async with asyncio.timeout(10):
            while "drain" not in worker.readiness.waiting_for:
                await asyncio.sleep(0.01)
        answer.set()
    states = {(row["state"], row["attempts"]) for row in await rows(pool, ids)}
    assert states <= {("SUCCEEDED", 1), ("QUEUED", 0)}
    assert await pool.fetchval("select count(*) from claims") == 0


async def test_tasks_whose_lease_was_lost_on_the_way_are_left_to_their_new_owner(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, seen: list[Taken]
) -> None:
    noted = Intake.claim_batch

    async def lost_at_first(of: Intake, room: int) -> Taken:
        answer = await noted(of, room)
        if answer.assignments and len(seen) == 1:
            answer.assignments[0].claim.is_lost = True
        return answer

    monkeypatch.setattr(Intake, "claim_batch", lost_at_first)
    ids = await submit(pool, 3, task_type="effect", payload={}, max_retries=0, grace_s=3_600)
    await announce(settings, ids)
    async with running_relay(settings, pool), running_worker(settings, pool):
        await until_state(pool, ids, "SUCCEEDED")
    started = "select count(*) from effect_log where kind = 'started'"
    assert await pool.fetchval(started) == len(ids)
    lost = {assignment.task.id for assignment in seen[0].assignments}
    assert {row["fence"] for row in await rows(pool, list(lost))} == {2}


async def test_a_claim_that_a_library_cancels_is_made_again(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, seen: list[Taken]
) -> None:
    noted = Intake.claim_batch
    cancelled: list[int] = []

    async def cancelled_at_first(of: Intake, room: int) -> Taken:
        if not cancelled:
            cancelled.append(room)
            raise asyncio.CancelledError
        return await noted(of, room)

    monkeypatch.setattr(Intake, "claim_batch", cancelled_at_first)
    ids = await submit(pool, TASKS, grace_s=3_600)
    await announce(settings, ids)
    async with running_worker(settings, pool) as worker:
        await until_state(pool, ids, "SUCCEEDED")
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert sample(worker, "worker_tasks_processed_total", task_type="sum") == TASKS
    assert cancelled


async def test_the_clock_of_a_task_starts_when_its_claim_was_asked_for(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, seen: list[Taken]
) -> None:
    """And not when somebody had the time to read the answer."""
    late_s = 0.3

    async def read_late(pool: Pool, ids: Collection[UUID], **how: Any) -> Claim:
        claim = await claim_tasks(pool, ids, **how)
        await asyncio.sleep(late_s)
        return claim

    monkeypatch.setattr(intake, "claim_tasks", read_late)
    ids = await submit(pool, 3, grace_s=3_600)
    await announce(settings, ids)
    async with running_worker(settings, pool):
        await until_state(pool, ids, "SUCCEEDED")
    for row in await pool.fetch(
        "select extract(epoch from finished_at - started_at)::float8 as after_s from tasks"
    ):
        # Started after the answer was read, and finished right behind it.
        assert row["after_s"] < late_s
