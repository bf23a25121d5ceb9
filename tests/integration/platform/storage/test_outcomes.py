"""Finishing: only the holder of the fence writes, and everything that follows commits with it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from msgspec.structs import replace
from task_platform.domain.task import ClaimedTask
from task_platform.errors import BadData
from task_platform.storage.claims import bury_rowless
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful
from task_platform.storage.pool import Pool

from ....factories import failure, success
from .steps import claim, claimed, failures_of, forget_outbox, lose_claims, outbox, task_row


async def finish(pool: Pool, task: ClaimedTask, how: str) -> bool:
    """Try to finish; whether the task was still ours."""
    if how == "succeeded":
        return await finish_succeeded(pool, [success(task)], closed_claims=[]) == {task.id}
    outcome = failure(task, retry_in_s=60 if how == "retried" else None)
    kept = await finish_unsuccessful(pool, [outcome], worker="w1", closed_claims=[])
    return kept == {task.id}


HOW = pytest.mark.parametrize("how", ["succeeded", "retried", "dead"])


async def test_a_success_is_recorded_and_closes_its_claim(pool: Pool) -> None:
    answer, tasks = await claimed(pool, 2)
    assert answer.claim_id is not None
    await forget_outbox(pool)
    started_at = tasks[0].claimed_at - timedelta(seconds=0.5)
    outcomes = [
        replace(success(task, json.dumps({"n": n})), started_at=started_at)
        for n, task in enumerate(tasks)
    ]
    kept = await finish_succeeded(pool, outcomes, closed_claims=[answer.claim_id])
    assert kept == {task.id for task in tasks}
    for n, task in enumerate(tasks):
        row = await task_row(pool, task.id)
        assert (row["state"], row["result"], row["error"]) == ("SUCCEEDED", f'{{"n": {n}}}', None)
        assert (row["started_at"], row["attempts"]) == (started_at, 1)
        assert row["finished_at"] is not None
    assert await pool.fetchval("select count(*) from claims") == 0
    assert await outbox(pool) == []
    assert await failures_of(pool, tasks[0].id) == []


@HOW
async def test_a_late_writer_touches_nothing(pool: Pool, how: str) -> None:
    _, (stale,) = await claimed(pool)
    await lose_claims(pool)
    (fresh,) = (await claim(pool, [stale.id], owner="w2", alone=True)).tasks
    await forget_outbox(pool)
    before = await task_row(pool, stale.id)
    assert not await finish(pool, stale, how)
    assert dict(await task_row(pool, stale.id)) == dict(before)
    assert await outbox(pool) == await outbox(pool, "tasks.dlq") == []
    assert [row["outcome"] for row in await failures_of(pool, stale.id)] == ["worker_lost"]
    assert await finish(pool, fresh, how)


@HOW
async def test_a_writer_between_lease_and_next_claim_touches_nothing(pool: Pool, how: str) -> None:
    _, (stale,) = await claimed(pool)
    await lose_claims(pool)
    assert not await finish(pool, stale, how)
    assert (await task_row(pool, stale.id))["state"] == "QUEUED"


@HOW
async def test_an_outcome_is_recorded_once(pool: Pool, how: str) -> None:
    _, (task,) = await claimed(pool)
    assert await finish(pool, task, "succeeded")
    before = await task_row(pool, task.id)
    assert not await finish(pool, task, how)
    assert dict(await task_row(pool, task.id)) == dict(before)


async def test_a_retry_has_its_due_time_and_its_message(pool: Pool) -> None:
    answer, (task,) = await claimed(pool)
    assert answer.claim_id is not None
    await forget_outbox(pool)
    outcome = failure(task, retry_in_s=30, error_type="KeyError", message="'a'")
    await finish_unsuccessful(pool, [outcome], worker="w1", closed_claims=[answer.claim_id])
    row = await task_row(pool, task.id)
    assert (row["state"], row["attempts"], row["is_later"]) == ("QUEUED", 1, True)
    assert json.loads(row["error"]) == {"type": "KeyError", "message": "'a'"}
    assert row["finished_at"] is None
    assert timedelta(seconds=29) < row["due_at"] - task.claimed_at < timedelta(seconds=40)
    (announcement,) = await outbox(pool)
    assert announcement["task_ids"] == [task.id]
    assert announcement["due_at"] == announcement["available_at"] == row["due_at"]
    (attempt,) = await failures_of(pool, task.id)
    assert (attempt["attempt"], attempt["fence"], attempt["outcome"]) == (1, 1, "retried")
    assert (attempt["worker"], attempt["error_type"], attempt["message"]) == (
        "w1",
        "KeyError",
        "'a'",
    )
    assert await pool.fetchval("select count(*) from claims") == 0


async def test_a_success_after_a_failure_leaves_no_error(pool: Pool) -> None:
    _, (task,) = await claimed(pool)
    await finish_unsuccessful(pool, [failure(task, retry_in_s=0)], worker="w1", closed_claims=[])
    (task,) = (await claim(pool, [task.id])).tasks
    await finish(pool, task, "succeeded")
    row = await task_row(pool, task.id)
    assert (row["error"], row["attempts"]) == (None, 2)


async def test_the_dead_are_listed_and_announced(pool: Pool) -> None:
    _, tasks = await claimed(pool, 3)
    await forget_outbox(pool)
    dead, later = tasks[:2], tasks[2]
    outcomes = [failure(task) for task in dead] + [failure(later, retry_in_s=60)]
    await finish_unsuccessful(pool, outcomes, worker="w1", closed_claims=[])
    row = await task_row(pool, dead[0].id)
    assert (row["state"], row["due_at"]) == ("FAILED", dead[0].due_at)
    assert row["finished_at"] is not None
    letters = await pool.fetch("select * from dead_letters")
    assert {(letter["task_id"], letter["reason"]) for letter in letters} == {
        (task.id, "RuntimeError") for task in dead
    }
    (announcement,) = await outbox(pool, "tasks.dlq")
    assert set(announcement["task_ids"]) == {task.id for task in dead}
    assert announcement["is_due"]
    assert [row["task_ids"] for row in await outbox(pool)] == [[later.id]]
    assert [row["outcome"] for row in await failures_of(pool, dead[0].id)] == ["dead"]


async def test_a_task_whose_message_was_buried_before_can_still_die(pool: Pool) -> None:
    _, (task,) = await claimed(pool)
    await bury_rowless(pool, task.id)
    assert await finish(pool, task, "dead")
    (letter,) = await pool.fetch("select * from dead_letters")
    assert letter["reason"] == "RuntimeError"


async def test_one_bad_result_commits_none_of_its_batch(pool: Pool) -> None:
    _, tasks = await claimed(pool, 2)
    outcomes = [success(tasks[0]), success(tasks[1], "{not json")]
    with pytest.raises(BadData):
        await finish_succeeded(pool, outcomes, closed_claims=[])
    assert (await task_row(pool, tasks[0].id))["state"] == "PROCESSING"


@pytest.mark.parametrize("how", ["succeeded", "retried", "dead"])
async def test_nothing_starts_or_ends_after_it_is_recorded(pool: Pool, how: str) -> None:
    _, (task,) = await claimed(pool, 1)
    early = task.claimed_at + timedelta(hours=1)
    if how == "succeeded":
        outcome = replace(success(task), started_at=early)
        assert await finish_succeeded(pool, [outcome], closed_claims=[]) == {task.id}
    else:
        failed = failure(
            task, retry_in_s=60 if how == "retried" else None, started_at=early, ended_at=early
        )
        assert await finish_unsuccessful(pool, [failed], worker="w1", closed_claims=[]) == {task.id}
        (recorded,) = await failures_of(pool, task.id)
        assert recorded["started_at"] == recorded["ended_at"] < early
    row = await task_row(pool, task.id)
    assert row["started_at"] < early
    assert how == "retried" or row["started_at"] == row["finished_at"]
