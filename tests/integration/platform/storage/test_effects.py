"""The effect ledger: only the holder of the fence writes in it, and the first record stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from task_platform.domain.task import ClaimedTask
from task_platform.errors import DatabaseUnavailable, LeaseLost
from task_platform.settings import Settings
from task_platform.storage.claims import expire_leases, give_back
from task_platform.storage.effects import is_completed, record_effect, recorded_effect
from task_platform.storage.outcomes import (
    Failure,
    Success,
    committed_outcomes,
    finish_in_transaction,
    finish_succeeded,
    finish_unsuccessful,
)
from task_platform.storage.pool import Pool
from task_platform.storage.transactions import HandlerConnections, HandlerTransaction

from ....factories import failure, success
from .steps import claim, claimed, lose_claims, task_row, until_locked


@pytest.fixture
async def connections(settings: Settings) -> AsyncIterator[HandlerConnections]:
    """What handlers write by."""
    connections = HandlerConnections(settings)
    yield connections
    await connections.close()


async def effects_of(pool: Pool, task_id: UUID) -> list[tuple[str, int, str]]:
    """What the ledger holds of a task."""
    found = await pool.fetch("select * from effects where task_id = $1 order by name", task_id)
    return [(row["name"], row["fence"], row["result"]) for row in found]


async def _lost(pool: Pool, task: ClaimedTask) -> None:
    await lose_claims(pool)


async def _claimed_again(pool: Pool, task: ClaimedTask) -> None:
    await lose_claims(pool)
    await claim(pool, [task.id], owner="w2", alone=True)


async def _given_back(pool: Pool, task: ClaimedTask) -> None:
    await give_back(pool, [task], closed_claims=[])


async def _finished(pool: Pool, task: ClaimedTask) -> None:
    await finish_succeeded(pool, [success(task)], closed_claims=[])


async def _failed(pool: Pool, task: ClaimedTask) -> None:
    await finish_unsuccessful(pool, [failure(task)], worker="w1", closed_claims=[])


TAKEN = pytest.mark.parametrize("taken", [_lost, _claimed_again, _given_back, _finished, _failed])


@TAKEN
async def test_an_execution_that_does_not_hold_its_task_records_nothing(
    pool: Pool, connections: HandlerConnections, taken: object
) -> None:
    _, (task,) = await claimed(pool)
    await taken(pool, task)  # type: ignore[operator]
    async with connections.connection() as connection:
        with pytest.raises(LeaseLost):
            await recorded_effect(connection, task, "a")
        with pytest.raises(LeaseLost):
            await record_effect(connection, task, "a", "1")
    assert await effects_of(pool, task.id) == []


@TAKEN
async def test_an_execution_that_does_not_hold_its_task_completes_nothing(
    pool: Pool, connections: HandlerConnections, taken: object
) -> None:
    _, (task,) = await claimed(pool)
    await taken(pool, task)  # type: ignore[operator]
    before = await task_row(pool, task.id)
    transaction = await HandlerTransaction(connections).begin()
    assert not await finish_in_transaction(transaction.connection, success(task, '"late"'))
    await transaction.end()
    assert dict(await task_row(pool, task.id)) == dict(before)


async def test_the_first_record_of_a_name_stands(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task, other) = await claimed(pool, 2)
    async with connections.connection() as connection:
        assert await recorded_effect(connection, task, "a") is None
        assert await record_effect(connection, task, "a", "1")
        assert not await record_effect(connection, task, "a", "2")
        assert await record_effect(connection, task, "b", "null")
        assert await record_effect(connection, other, "a", "3")
        assert await recorded_effect(connection, task, "a") == "1"
        assert await recorded_effect(connection, task, "b") == "null"
    assert await effects_of(pool, task.id) == [("a", 1, "1"), ("b", 1, "null")]


async def test_the_reaper_comes_after_a_record_that_is_about_to_commit(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    await pool.execute("update claims set expires_at = now() - interval '1 s'")
    transaction = await HandlerTransaction(connections).begin()
    await record_effect(transaction.connection, task, "a", "1")
    # It holds up nobody else's lease meanwhile.
    async with asyncio.timeout(5):
        assert await expire_leases(pool) == (0, 0)
    await transaction.commit(_never)
    await transaction.end()
    assert await expire_leases(pool) == (1, 1)
    (again,) = (await claim(pool, [task.id], alone=True)).tasks
    async with connections.connection() as connection:
        assert await recorded_effect(connection, again, "a") == "1"


async def test_a_record_waits_for_the_reaper_and_is_then_refused(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    async with pool.acquire() as reaper, connections.connection() as connection:
        taking = reaper.transaction()
        await taking.start()
        await reaper.execute("update tasks set state = 'QUEUED' where id = $1", task.id)
        recording = asyncio.create_task(record_effect(connection, task, "a", "1"))
        await until_locked(pool)
        await taking.commit()
        with pytest.raises(LeaseLost):
            await recording
    assert await effects_of(pool, task.id) == []


async def test_a_frozen_commit_frees_the_row_for_the_reaper(
    pool: Pool, connections: HandlerConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("task_platform.storage.transactions._COMMIT_WITHIN", "200ms")
    _, (task,) = await claimed(pool)
    await pool.execute("update claims set expires_at = now() - interval '1 s'")
    transaction = await HandlerTransaction(connections).begin()
    await transaction.hurry()
    await record_effect(transaction.connection, task, "a", "1")
    async with asyncio.timeout(5):
        while await expire_leases(pool) != (1, 1):
            await asyncio.sleep(0.02)
    with pytest.raises(DatabaseUnavailable):
        await transaction.commit(_never)
    assert await effects_of(pool, task.id) == []


async def test_whether_a_commit_took_place_is_known_once_it_is_over(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, tasks = await claimed(pool, 2)
    for task, kept in zip(tasks, (True, False), strict=True):
        transaction = await HandlerTransaction(connections).begin()
        assert await finish_in_transaction(transaction.connection, success(task))
        async with connections.connection() as connection:
            asking = asyncio.create_task(is_completed(connection, task))
            await until_locked(pool)
            if kept:
                await transaction.commit(_never)
            await transaction.end()
            assert await asking is kept


async def test_what_was_committed_by_these_executions_can_be_asked(pool: Pool) -> None:
    _, (done, retried, dead, lost, open_) = await claimed(pool, 5)
    await finish_succeeded(pool, [success(done)], closed_claims=[])
    failures = [failure(retried, retry_in_s=0), failure(dead)]
    await finish_unsuccessful(pool, failures, worker="w1", closed_claims=[])
    await pool.execute(
        "insert into attempt_failures select $1, 1, 1, 'w', now(), now(), 'worker_lost', 'x', 'y'",
        lost.id,
    )
    (again,) = (await claim(pool, [retried.id])).tasks
    unknown: list[Success | Failure] = [success(done), *failures, failure(lost), success(open_)]
    assert await committed_outcomes(pool, unknown) == {done.id, retried.id, dead.id}
    assert await committed_outcomes(pool, [success(again)]) == set()


async def _never(_: object) -> bool:
    return False
