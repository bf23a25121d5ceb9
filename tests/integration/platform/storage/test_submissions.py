"""Committing submissions: new, keyed, repeated, raced."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from msgspec.structs import replace
from task_platform.errors import BadData, KeyReused, TaskPruned
from task_platform.settings import Settings
from task_platform.storage.outcomes import finish_succeeded
from task_platform.storage.pool import Pool, open_pool
from task_platform.storage.submissions import Created, Replayed, submit_tasks

from ....factories import keyed_task, new_task, success
from .steps import claim, outbox, submit, task_row


async def count_tasks(pool: Pool) -> int:
    return int(await pool.fetchval("select count(*) from tasks"))


async def test_a_batch_is_committed_with_one_outbox_row(pool: Pool) -> None:
    tasks = [new_task(payload={"n": n}, max_retries=n) for n in range(3)]
    outcomes, commits = await submit_tasks(pool, tasks, grace_s=5, key_ttl_s=60)
    assert all(isinstance(outcome, Created) for outcome in outcomes)
    (commit,) = commits
    (announcement,) = await outbox(pool)
    assert set(commit.task_ids) == set(announcement["task_ids"]) == {task.id for task in tasks}
    assert commit.outbox_id == announcement["id"]
    assert announcement["available_at"] - announcement["due_at"] == timedelta(seconds=5)
    for n, task in enumerate(tasks):
        row = await task_row(pool, task.id)
        assert json.loads(row["payload"]) == {"n": n}
        assert (row["state"], row["attempts"], row["fence"], row["max_retries"]) == (
            "QUEUED",
            0,
            0,
            n,
        )
        assert row["created_at"] == row["due_at"] == commit.created_at


@pytest.mark.parametrize("keyed", [False, True])
async def test_the_payload_is_stored_to_the_letter(pool: Pool, keyed: bool) -> None:
    text = '{"b":1,"a":1.10,"a":[123456789012345678901234567890,"é 😀 \\\\u0000"]}'
    task = replace(keyed_task("k") if keyed else new_task(), payload=text)
    await submit(pool, task)
    assert (await task_row(pool, task.id))["payload"] == text


async def test_a_repeat_finds_the_task_as_it_is_now_idm12(pool: Pool) -> None:
    first = keyed_task("k")
    await submit(pool, first)
    (in_hand,) = (await claim(pool, [first.id])).tasks
    await finish_succeeded(pool, [success(in_hand)], closed_claims=[])
    (outcome,) = await submit(pool, keyed_task("k"))
    assert isinstance(outcome, Replayed)
    assert (outcome.task.id, outcome.task.state) == (first.id, "SUCCEEDED")
    assert await count_tasks(pool) == 1


@pytest.mark.parametrize(
    "other", [{"payload": {"numbers": [9]}}, {"task_type": "echo"}, {"max_retries": 9}]
)
async def test_a_key_used_for_something_else_is_refused_idm03(
    pool: Pool, other: dict[str, object]
) -> None:
    first = keyed_task("k")
    await submit(pool, first)
    (outcome,) = await submit(pool, keyed_task("k", **other))
    assert isinstance(outcome, KeyReused)
    assert (await task_row(pool, first.id))["payload"] == first.payload
    assert await count_tasks(pool) == 1


async def test_keys_of_other_tenants_are_other_keys_idm06(pool: Pool) -> None:
    outcomes = await submit(pool, keyed_task("1", tenant="a"), keyed_task("1", tenant="b"))
    assert all(isinstance(outcome, Created) for outcome in outcomes)


async def test_a_repeat_tells_when_the_key_expires_idm11(pool: Pool) -> None:
    created, follower = await submit(pool, keyed_task("k"), keyed_task("k"))
    replayed, reused = await submit(pool, keyed_task("k"), keyed_task("k", task_type="echo"))
    held = await pool.fetchval("select expires_at from idempotency_keys")
    for outcome in (created, follower, replayed, reused):
        assert outcome.key_expires_at == held
    (plain,) = await submit(pool, new_task())
    assert isinstance(plain, Created)
    assert plain.key_expires_at is None


async def test_a_key_whose_task_is_gone_says_so_idm12(pool: Pool) -> None:
    first, other = keyed_task("k"), keyed_task("k", payload={"numbers": [9]})
    await submit(pool, first)
    await pool.execute("delete from tasks")
    outcomes = await submit(pool, keyed_task("k"), other, keyed_task("k"), new_task())
    assert [type(outcome) for outcome in outcomes] == [TaskPruned, KeyReused, TaskPruned, Created]
    await pool.execute("update idempotency_keys set expires_at = now()")
    (outcome,) = await submit(pool, keyed_task("k"))
    assert isinstance(outcome, Created)


async def test_equal_keys_inside_a_batch_are_one_task(pool: Pool) -> None:
    tasks = [
        keyed_task("k"),
        new_task(),
        keyed_task("k"),
        keyed_task("k", payload={"numbers": [9]}),
        keyed_task("other"),
    ]
    outcomes = await submit(pool, *tasks)
    kinds = [Created, Created, Replayed, KeyReused, Created]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert isinstance(outcomes[2], Replayed)
    assert outcomes[2].task.id == tasks[0].id
    assert await count_tasks(pool) == 3
    assert sorted(len(row["task_ids"]) for row in await outbox(pool)) == [3]


async def test_a_batch_of_nothing_but_repeats_announces_nothing(pool: Pool) -> None:
    await submit(pool, keyed_task("k"))
    before = await outbox(pool)
    await submit(pool, keyed_task("k"), keyed_task("k"))
    assert await outbox(pool) == before


async def test_an_expired_key_is_taken_over_idm11(pool: Pool) -> None:
    first, second, third = (
        keyed_task("k"),
        keyed_task("k", payload={"numbers": []}),
        keyed_task("k"),
    )
    await submit(pool, first, ttl_s=0.001)
    await asyncio.sleep(0.01)
    (outcome,) = await submit(pool, second)
    assert isinstance(outcome, Created)
    assert await count_tasks(pool) == 2
    (outcome,) = await submit(pool, third)
    assert isinstance(outcome, KeyReused)


async def test_fifty_at_once_with_one_key_make_one_task_idm01_idm02(settings: Settings) -> None:
    pools = [await open_pool(settings, process=f"api {n}", size=4) for n in range(4)]
    try:
        outcomes = await asyncio.gather(
            *(submit(pools[n % 4], keyed_task("k"), new_task()) for n in range(50))
        )
        keyed = [outcome for outcome, _ in outcomes]
        assert (
            sorted(type(outcome).__name__ for outcome in keyed) == ["Created"] + ["Replayed"] * 49
        )
        ids = {outcome.task.id for outcome in keyed if isinstance(outcome, Replayed)}
        assert len(ids) == 1
        assert await count_tasks(pools[0]) == 51
        announced = [i for row in await outbox(pools[0]) for i in row["task_ids"]]
        assert len(announced) == len(set(announced)) == 51
    finally:
        for pool in pools:
            await pool.close()


async def test_batches_with_the_same_keys_in_any_order_never_deadlock(settings: Settings) -> None:
    pools = [await open_pool(settings, process=f"api {n}", size=4) for n in range(2)]
    try:
        for turn in range(5):
            keys = [f"{turn}-{n}" for n in range(20)]
            batches = [[keyed_task(key) for key in keys[:: (-1) ** n]] for n in range(8)]
            answers = await asyncio.gather(
                *(submit(pools[n % 2], *batch) for n, batch in enumerate(batches))
            )
            created = [o for answer in answers for o in answer if isinstance(o, Created)]
            assert len(created) == 20
    finally:
        for pool in pools:
            await pool.close()


async def test_expired_keys_raced_for_are_taken_over_once_idm10(pool: Pool) -> None:
    await submit(pool, keyed_task("k"), ttl_s=0.001)
    await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(*(submit(pool, keyed_task("k")) for _ in range(20)))
    assert (
        sorted(type(outcome).__name__ for (outcome,) in outcomes) == ["Created"] + ["Replayed"] * 19
    )


async def test_a_value_that_postgres_refuses_commits_nothing(pool: Pool) -> None:
    with pytest.raises(BadData):
        await submit(pool, new_task(), new_task(task_type="nul\x00"))
    assert await count_tasks(pool) == 0
