"""Claims: who may run a task."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from task_platform.domain.task import ClaimedTask, State
from task_platform.storage.claims import (
    bury_rowless,
    claim_tasks,
    existing_tasks,
    give_back,
    give_back_unknown,
    hand_on,
)
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful
from task_platform.storage.pool import Pool

from ....factories import failure, some_ids, success
from .steps import (
    claim,
    claimed,
    failures_of,
    forget_outbox,
    lose_claims,
    outbox,
    submitted_ids,
    task_row,
)


async def test_a_claim_takes_the_task_and_records_the_attempt(pool: Pool) -> None:
    answer, (task,) = await claimed(pool, payload={"x": 1}, max_retries=7)
    assert (task.attempt, task.fence, task.exhausted) == (1, 1, False)
    assert (task.payload, task.max_retries) == ('{"x":1}', 7)
    assert task.claimed_at >= task.created_at == task.due_at
    row = await task_row(pool, task.id)
    assert (row["state"], row["attempts"], row["fence"]) == ("PROCESSING", 1, 1)
    (lease,) = await pool.fetch("select * from claims")
    assert (lease["id"], lease["owner"]) == (answer.claim_id, "w1")
    assert (lease["task_ids"], lease["fences"]) == ([task.id], [1])


async def test_a_claim_of_many_has_one_lease(pool: Pool) -> None:
    answer, tasks = await claimed(pool, 100)
    (lease,) = await pool.fetch("select * from claims")
    assert set(lease["task_ids"]) == {task.id for task in tasks}
    assert lease["id"] == answer.claim_id


async def test_the_fence_rises_at_every_claim_and_attempts_when_charged(pool: Pool) -> None:
    _, (task,) = await claimed(pool)
    for fence in (2, 3):
        await give_back(pool, [task], closed_claims=[])
        (task,) = (await claim(pool, [task.id])).tasks
        assert (task.fence, task.attempt) == (fence, 1)
    await finish_unsuccessful(pool, [failure(task, retry_in_s=0)], worker="w1", closed_claims=[])
    (task,) = (await claim(pool, [task.id])).tasks
    assert (task.fence, task.attempt) == (4, 2)


async def _succeeded(pool: Pool) -> UUID:
    _, (task,) = await claimed(pool)
    await finish_succeeded(pool, [success(task)], closed_claims=[])
    return task.id


async def _failed(pool: Pool) -> UUID:
    _, (task,) = await claimed(pool)
    await finish_unsuccessful(pool, [failure(task)], worker="w1", closed_claims=[])
    return task.id


async def _processing(pool: Pool) -> UUID:
    _, (task,) = await claimed(pool)
    return task.id


async def _not_due(pool: Pool) -> UUID:
    _, (task,) = await claimed(pool)
    later = failure(task, retry_in_s=60)
    await finish_unsuccessful(pool, [later], worker="w1", closed_claims=[])
    return task.id


async def _cancelled(pool: Pool) -> UUID:
    (task_id,) = await submitted_ids(pool)
    await pool.execute("update tasks set state = $1", State.CANCELLED.value)
    return task_id


@pytest.mark.parametrize("make", [_succeeded, _failed, _processing, _not_due, _cancelled])
async def test_what_is_not_due_and_queued_cannot_be_claimed(pool: Pool, make: object) -> None:
    assert callable(make)
    task_id = await make(pool)
    before = await task_row(pool, task_id)
    answer = await claim(pool, [task_id], owner="w2")
    assert (answer.claim_id, answer.tasks, answer.must_be_alone) == (None, (), {})
    assert dict(await task_row(pool, task_id)) == dict(before)
    assert await pool.fetchval("select count(*) from claims where owner = 'w2'") == 0


async def test_what_cannot_be_claimed_does_not_keep_its_neighbours(pool: Pool) -> None:
    free = await submitted_ids(pool, 2)
    answer = await claim(pool, [await _succeeded(pool), *free, *some_ids(1)])
    assert {task.id for task in answer.tasks} == set(free)


async def test_claims_at_the_same_moment_are_disjoint(pool: Pool) -> None:
    ids = await submitted_ids(pool, 200)
    answers = await asyncio.gather(
        *(claim(pool, ids[n * 10 :] + ids[: n * 10], owner=f"w{n}") for n in range(16))
    )
    taken = [task.id for answer in answers for task in answer.tasks]
    assert len(taken) == len(set(taken)) == 200
    assert await pool.fetchval("select max(fence) from tasks") == 1


async def test_a_claim_of_nothing_is_no_lease(pool: Pool) -> None:
    assert (await claim(pool, some_ids(3))).claim_id is None
    assert await pool.fetchval("select count(*) from claims") == 0


async def test_a_task_lost_in_company_is_only_claimed_alone_from_then_on(pool: Pool) -> None:
    _, tasks = await claimed(pool, 2)
    await lose_claims(pool)
    ids = [task.id for task in tasks]
    (fresh,) = await submitted_ids(pool)
    answer = await claim(pool, [*ids, fresh])
    assert [task.id for task in answer.tasks] == [fresh]
    assert answer.must_be_alone == dict.fromkeys(ids, 1)
    assert (await task_row(pool, ids[0]))["fence"] == 1
    alone = await claim(pool, [ids[0]], alone=True)
    assert [task.id for task in alone.tasks] == [ids[0]]
    assert alone.must_be_alone == {}


async def test_what_was_merely_given_back_is_no_loss(pool: Pool) -> None:
    ids = await submitted_ids(pool)
    for _ in range(5):
        answer = await claim(pool, ids)
        await give_back(pool, answer.tasks, closed_claims=[answer.claim_id or 0])
    await claim(pool, ids)
    for losses in (1, 2):
        assert await lose_claims(pool) == (1, 1)
        assert (await claim(pool, ids)).must_be_alone == {ids[0]: losses}
        await claim(pool, ids, alone=True)


async def test_a_task_without_attempts_left_is_handed_out_to_be_failed(pool: Pool) -> None:
    (task_id,) = await submitted_ids(pool, max_retries=0)
    await claim(pool, [task_id], alone=True)
    await lose_claims(pool)
    (task,) = (await claim(pool, [task_id], alone=True)).tasks
    assert task.exhausted
    assert (task.attempt, task.fence) == (1, 2)


async def test_given_back_is_uncharged_and_announced_at_once_wk09(pool: Pool) -> None:
    answer, tasks = await claimed(pool, 3, max_retries=0)
    await forget_outbox(pool)
    assert answer.claim_id is not None
    returned = await give_back(pool, tasks[:2], closed_claims=[answer.claim_id])
    assert returned == {task.id for task in tasks[:2]}
    for task in tasks[:2]:
        row = await task_row(pool, task.id)
        assert (row["state"], row["attempts"], row["fence"]) == ("QUEUED", 0, 1)
        assert not row["isolate"]
    (announcement,) = await outbox(pool)
    assert announcement["is_due"]
    assert set(announcement["task_ids"]) == returned
    assert await pool.fetchval("select count(*) from claims") == 0
    assert await failures_of(pool, tasks[0].id) == []


async def test_given_back_for_later_cannot_be_claimed_before_wk09(pool: Pool) -> None:
    answer, (task,) = await claimed(pool, max_retries=0)
    await forget_outbox(pool)
    assert answer.claim_id is not None
    await give_back(pool, [task], closed_claims=[answer.claim_id], after_s=60)
    row = await task_row(pool, task.id)
    assert (row["state"], row["attempts"], row["is_later"]) == ("QUEUED", 0, True)
    (announcement,) = await outbox(pool)
    assert not announcement["is_due"]
    assert announcement["due_at"] == row["due_at"]
    assert (await claim(pool, [task.id])).tasks == ()


async def test_handed_on_are_those_that_wait_wk13(pool: Pool) -> None:
    waiting = await submitted_ids(pool, 2)
    _, (running, done) = await claimed(pool, 2)
    await finish_succeeded(pool, [success(done)], closed_claims=[])
    await forget_outbox(pool)
    ids = [*waiting, running.id, done.id]
    assert await hand_on(pool, [*ids, *some_ids(2)]) == set(ids)
    (announcement,) = await outbox(pool)
    assert announcement["is_due"]
    assert set(announcement["task_ids"]) == set(waiting)
    await forget_outbox(pool)
    assert await hand_on(pool, [done.id]) == {done.id}
    assert await outbox(pool) == []


async def test_a_claim_that_its_owner_never_heard_of_is_undone(pool: Pool) -> None:
    heard, (kept,) = await claimed(pool)
    (lost,) = await submitted_ids(pool, max_retries=0)
    await claim(pool, [lost], alone=True)
    (other,) = await submitted_ids(pool)
    await claim(pool, [other], owner="w2")
    await forget_outbox(pool)
    assert heard.claim_id is not None
    assert await give_back_unknown(pool, owner="w1", known_claims=[heard.claim_id]) == {lost}
    row = await task_row(pool, lost)
    assert (row["state"], row["attempts"], row["isolate"]) == ("QUEUED", 0, False)
    (announcement,) = await outbox(pool)
    assert announcement["task_ids"] == [lost]
    for task_id in (kept.id, other):
        assert (await task_row(pool, task_id))["state"] == "PROCESSING"
    assert await pool.fetchval("select count(*) from claims") == 2


async def test_an_exhausted_task_never_gets_an_attempt_back(pool: Pool) -> None:
    """Its claims charge nothing, so there is nothing to return, whichever way it comes back."""
    (task_id,) = await submitted_ids(pool, max_retries=0)
    await claim(pool, [task_id], alone=True)
    await lose_claims(pool)

    async def claimed_again(*, in_company: bool = False) -> ClaimedTask:
        answer = await claim_tasks(
            pool, [task_id], owner="w1", lease_s=60, alone=True, in_company=in_company
        )
        (task,) = answer.tasks
        assert (task.exhausted, task.attempt) == (True, 1)
        return task

    await claimed_again(in_company=True)
    await lose_claims(pool)
    await give_back(pool, [await claimed_again()], closed_claims=[])
    await claimed_again()
    assert await give_back_unknown(pool, owner="w1", known_claims=[]) == {task_id}
    await claimed_again()
    assert {row["attempt"] for row in await failures_of(pool, task_id)} == {1}


async def test_what_was_lost_cannot_be_given_back(pool: Pool) -> None:
    _, (task,) = await claimed(pool)
    await lose_claims(pool)
    await forget_outbox(pool)
    assert await give_back(pool, [task], closed_claims=[]) == set()
    assert await outbox(pool) == []
    await claim(pool, [task.id], owner="w2", alone=True)
    assert await give_back(pool, [task], closed_claims=[]) == set()
    assert (await task_row(pool, task.id))["state"] == "PROCESSING"


async def test_only_tasks_with_a_row_exist(pool: Pool) -> None:
    ids = await submitted_ids(pool, 2)
    assert await existing_tasks(pool, [*ids, *some_ids(2)]) == set(ids)


async def test_a_message_without_a_task_is_dead_lettered_once(pool: Pool) -> None:
    (task_id,) = some_ids(1)
    for _ in range(2):
        await bury_rowless(pool, task_id)
    (letter,) = await pool.fetch("select * from dead_letters")
    assert (letter["task_id"], letter["reason"]) == (task_id, "NoSuchTask")
    (announcement,) = await outbox(pool, "tasks.dlq")
    assert announcement["task_ids"] == [task_id]
