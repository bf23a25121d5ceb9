"""Leases: renewed by their owner, ended by nobody but the reaper."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.storage.claims import claim_tasks, expire_leases, renew_claims
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful
from task_platform.storage.pool import Pool

from ....factories import failure, success
from .steps import (
    HOUR_S,
    claim,
    claimed,
    failures_of,
    forget_outbox,
    lose_claims,
    outbox,
    submitted_ids,
    task_row,
    until_locked,
)


async def test_a_lease_holds_until_it_runs_out(pool: Pool) -> None:
    ids = await submitted_ids(pool)
    await claim_tasks(pool, ids, owner="w1", lease_s=0.2, alone=True)
    assert await expire_leases(pool) == (0, 0)
    async with asyncio.timeout(5):
        while await expire_leases(pool) != (1, 1):
            await asyncio.sleep(0.02)
    assert (await task_row(pool, ids[0]))["state"] == "QUEUED"


async def test_a_renewed_lease_is_not_taken_wk05(pool: Pool) -> None:
    ids = await submitted_ids(pool)
    answer = await claim_tasks(pool, ids, owner="w1", lease_s=0.05)
    assert answer.claim_id is not None
    kept = await renew_claims(pool, [answer.claim_id], owner="w1", lease_s=HOUR_S)
    await asyncio.sleep(0.1)
    assert kept == {answer.claim_id}
    assert await expire_leases(pool) == (0, 0)


async def test_only_its_owner_renews_a_lease(pool: Pool) -> None:
    answer, _ = await claimed(pool)
    assert answer.claim_id is not None
    ids = [answer.claim_id, answer.claim_id + 1_000]
    assert await renew_claims(pool, ids, owner="w2", lease_s=1) == set()
    assert await renew_claims(pool, ids, owner="w1", lease_s=1) == {answer.claim_id}
    await lose_claims(pool)
    assert await renew_claims(pool, ids, owner="w1", lease_s=1) == set()


async def test_tasks_lost_in_company_come_back_uncharged(pool: Pool) -> None:
    _, tasks = await claimed(pool, 3)
    await forget_outbox(pool)
    assert await lose_claims(pool) == (1, 3)
    for task in tasks:
        row = await task_row(pool, task.id)
        assert (row["state"], row["attempts"], row["fence"]) == ("QUEUED", 0, 1)
        assert row["isolate"]
        (lost,) = await failures_of(pool, task.id)
        assert (lost["outcome"], lost["attempt"], lost["worker"]) == ("worker_lost", 1, "w1")
    (announcement,) = await outbox(pool)
    assert announcement["is_due"]
    assert set(announcement["task_ids"]) == {task.id for task in tasks}
    assert await lose_claims(pool) == (0, 0)


async def test_a_task_lost_while_alone_is_charged(pool: Pool) -> None:
    (task_id,) = await submitted_ids(pool)
    await claim(pool, [task_id], alone=True)
    assert await lose_claims(pool) == (1, 1)
    row = await task_row(pool, task_id)
    assert (row["state"], row["attempts"], row["fence"]) == ("QUEUED", 1, 1)


async def test_an_isolated_task_that_had_company_all_the_same_is_not_charged(pool: Pool) -> None:
    (task_id,) = await submitted_ids(pool)
    await claim_tasks(pool, [task_id], owner="w1", lease_s=10, alone=True, in_company=True)
    assert await lose_claims(pool) == (1, 1)
    assert (await task_row(pool, task_id))["attempts"] == 0


async def test_what_was_finished_before_is_left_alone(pool: Pool) -> None:
    _, (done, retried, lost) = await claimed(pool, 3)
    await finish_succeeded(pool, [success(done)], closed_claims=[])
    later = failure(retried, retry_in_s=60)
    await finish_unsuccessful(pool, [later], worker="w1", closed_claims=[])
    assert await lose_claims(pool) == (1, 1)
    assert (await task_row(pool, done.id))["state"] == "SUCCEEDED"
    row = await task_row(pool, retried.id)
    assert (row["state"], row["attempts"], row["isolate"]) == ("QUEUED", 1, False)
    assert (await task_row(pool, lost.id))["isolate"]


@pytest.mark.parametrize("max_retries", [0, 2])
async def test_a_task_that_kills_its_worker_runs_out_of_attempts_wk02(
    pool: Pool, max_retries: int
) -> None:
    (task_id,) = await submitted_ids(pool, max_retries=max_retries)
    starts = 0
    while True:
        (task,) = (await claim(pool, [task_id], alone=True)).tasks
        if task.exhausted:
            break
        starts += 1
        assert task.attempt == starts
        await lose_claims(pool)
    assert starts == max_retries + 1
    await finish_unsuccessful(pool, [failure(task)], worker="w1", closed_claims=[])
    row = await task_row(pool, task_id)
    assert (row["state"], row["attempts"]) == ("FAILED", max_retries + 1)
    assert [a["outcome"] for a in await failures_of(pool, task_id)] == ["worker_lost"] * starts + [
        "dead"
    ]


async def test_neighbours_of_a_killer_are_never_charged(pool: Pool) -> None:
    _, (killer, innocent) = await claimed(pool, 2, max_retries=0)
    await lose_claims(pool)
    await claim(pool, [killer.id], alone=True)
    await lose_claims(pool)
    (dead,) = (await claim(pool, [killer.id], alone=True)).tasks
    (alive,) = (await claim(pool, [innocent.id], alone=True)).tasks
    assert dead.exhausted
    assert not alive.exhausted
    assert alive.attempt == 1


async def test_reapers_side_by_side_bring_each_task_back_once(pool: Pool) -> None:
    ids = await submitted_ids(pool, 40)
    for n in range(20):
        await claim(pool, ids[2 * n : 2 * n + 2])
    await pool.execute("update claims set expires_at = now() - interval '1 second'")
    await forget_outbox(pool)
    answers = await asyncio.gather(*(expire_leases(pool, limit=5) for _ in range(8)))
    assert sum(claims for claims, _ in answers) == 20
    assert sum(tasks for _, tasks in answers) == 40
    announced = [i for row in await outbox(pool) for i in row["task_ids"]]
    assert sorted(announced) == sorted(ids)


async def test_the_reaper_and_one_who_finishes_never_wait_for_each_other(pool: Pool) -> None:
    answer, (first, second) = await claimed(pool, 2)
    _, (other,) = await claimed(pool)
    await pool.execute("update claims set expires_at = now() - interval '1 second'")
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("select 1 from tasks where id = $1 for update", second.id)
        finishing = asyncio.ensure_future(
            finish_succeeded(
                pool, [success(first), success(second)], closed_claims=[answer.claim_id or 0]
            )
        )
        await until_locked(pool)
        # The other claim comes back at once; this one stays with who is at it.
        async with asyncio.timeout(0.9):
            assert await expire_leases(pool) == (1, 1)
    assert await finishing == {first.id, second.id}
    assert await expire_leases(pool) == (0, 0)
    assert not await pool.fetchval("select count(*) from claims")
    assert (await task_row(pool, other.id))["state"] == "QUEUED"


async def test_a_claim_stays_until_whoever_is_at_one_of_its_tasks_has_decided(pool: Pool) -> None:
    _, (task, neighbour) = await claimed(pool, 2)
    await pool.execute("update claims set expires_at = now() - interval '1 second'")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("select 1 from tasks where id = $1 for update", task.id)
        assert await expire_leases(pool) == (0, 0)
        await transaction.rollback()
    assert await expire_leases(pool) == (1, 2)
    for each in (task, neighbour):
        assert (await task_row(pool, each.id))["state"] == "QUEUED"
