"""Finding the forgotten: QUEUED, due for a while, and nobody's message names them."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from uuid import UUID

import pytest
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outbox import Reannounced, reannounce
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful
from task_platform.storage.pool import Pool

from ....factories import failure, success
from .steps import claim, claimed, forget_outbox, outbox, submitted_ids, task_row

LOWEST, HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


async def search(
    pool: Pool,
    *,
    after: UUID = LOWEST,
    window: int = 1_000,
    age_s: float = -1.0,
    only_overtaken: bool = False,
    frontier: datetime | None = None,
) -> Reannounced:
    """One window; by default everything that is due counts as old enough."""
    return await reannounce(
        pool,
        after=after,
        before=HIGHEST,
        window=window,
        age_s=age_s,
        only_overtaken=only_overtaken,
        frontier=frontier,
    )


async def test_forgotten_tasks_are_announced_again_once(pool: Pool) -> None:
    ids = await submitted_ids(pool, 3)
    await forget_outbox(pool)
    assert (await search(pool)).announced == 3
    (announcement,) = await outbox(pool)
    assert announcement["is_due"]
    assert set(announcement["task_ids"]) == set(ids)
    assert (await search(pool)).announced == 0


async def test_what_is_still_to_be_announced_is_not_forgotten(pool: Pool) -> None:
    await submitted_ids(pool, 2)
    assert (await search(pool)).announced == 0


async def test_a_dead_letter_is_no_announcement(pool: Pool) -> None:
    (task_id,) = await submitted_ids(pool)
    await pool.execute("update outbox set queue = 'tasks.dlq'")
    assert (await search(pool)).announced == 1
    assert (await outbox(pool))[0]["task_ids"] == [task_id]


async def test_what_became_due_lately_or_is_not_due_is_left_alone(pool: Pool) -> None:
    await submitted_ids(pool)
    _, (task,) = await claimed(pool)
    later = failure(task, retry_in_s=3_600)
    await finish_unsuccessful(pool, [later], worker="w1", closed_claims=[])
    await forget_outbox(pool)
    assert (await search(pool, age_s=60)).announced == 0
    assert (await search(pool)).announced == 1


async def test_only_queued_tasks_are_announced(pool: Pool) -> None:
    _, (done, dead, running) = await claimed(pool, 3)
    await finish_succeeded(pool, [success(done)], closed_claims=[])
    await finish_unsuccessful(pool, [failure(dead)], worker="w1", closed_claims=[])
    await forget_outbox(pool)
    found = await search(pool)
    assert (found.announced, found.first_open) == (0, running.id)


async def test_windows_say_where_they_end_and_what_is_open(pool: Pool) -> None:
    ids = await submitted_ids(pool, 7)
    await forget_outbox(pool)
    tasks = (await claim(pool, ids[:4])).tasks
    await finish_succeeded(pool, [success(task) for task in tasks], closed_claims=[])
    first = await search(pool, window=3)
    assert (first.announced, first.last_scanned, first.first_open) == (0, ids[2], None)
    second = await search(pool, window=3, after=ids[2])
    assert (second.announced, second.last_scanned, second.first_open) == (2, ids[5], ids[4])
    third = await search(pool, window=3, after=ids[5])
    assert (third.announced, third.last_scanned, third.first_open) == (1, ids[6], ids[6])
    last = await search(pool, window=3, after=ids[6])
    assert (last.announced, last.last_scanned, last.first_open) == (0, None, None)


async def test_while_messages_wait_only_the_overtaken_are_forgotten(pool: Pool) -> None:
    overtaken = await submitted_ids(pool, 2)
    (started,) = await submitted_ids(pool)
    behind = await submitted_ids(pool, 2)
    await forget_outbox(pool)
    found = await search(pool, only_overtaken=True)
    assert (found.announced, found.frontier) == (0, None)
    await claim_tasks(pool, [started], owner="w1", lease_s=60)
    found = await search(pool, only_overtaken=True)
    assert (found.announced, found.frontier) == (2, (await task_row(pool, started))["due_at"])
    (announcement,) = await outbox(pool)
    assert set(announcement["task_ids"]) == set(overtaken)
    assert set(behind).isdisjoint(announcement["task_ids"])


async def test_what_a_later_window_has_learned_counts_for_the_ones_before_it(pool: Pool) -> None:
    overtaken = await submitted_ids(pool, 2)
    (started,) = await submitted_ids(pool)
    await forget_outbox(pool)
    await claim_tasks(pool, [started], owner="w1", lease_s=60)
    before = await search(pool, window=2, only_overtaken=True)
    assert (before.announced, before.frontier) == (0, None)
    learned = await search(pool, window=2, after=overtaken[-1], only_overtaken=True)
    assert learned.frontier is not None
    found = await search(pool, window=2, only_overtaken=True, frontier=learned.frontier)
    assert (found.announced, found.frontier) == (2, learned.frontier)


async def test_many_forgotten_tasks_are_announced_in_rows_of_500(pool: Pool) -> None:
    ids = await submitted_ids(pool, 1_100)
    await forget_outbox(pool)
    assert (await search(pool, window=2_000)).announced == 1_100
    rows = await outbox(pool)
    assert [len(row["task_ids"]) for row in rows] == [500, 500, 100]
    assert [task_id for row in rows for task_id in row["task_ids"]] == ids


@pytest.mark.parametrize("due_in", ["-1 hour", "1 hour"])
async def test_the_search_is_quick_beside_many_others_that_wait(pool: Pool, due_in: str) -> None:
    await pool.execute(
        "insert into outbox (queue, task_ids, due_at, available_at) "
        "select 'tasks', array[gen_random_uuid()], now() + $1::text::interval, now() "
        "from generate_series(1, 50000)",
        due_in,
    )
    await pool.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, due_at) select "
        "gen_random_uuid(), 'default', 'sum', '{}', 0, now() - interval '1 minute' "
        "from generate_series(1, 10000)"
    )
    started = monotonic()
    assert (await search(pool, window=10_000)).announced == 10_000
    # Again and again, until the server plans without looking at the parameters.
    for _ in range(7):
        assert (await search(pool, window=10_000)).announced == 0
    took_s = monotonic() - started
    assert took_s < 8, "each comparing with each takes longer than that by far"
