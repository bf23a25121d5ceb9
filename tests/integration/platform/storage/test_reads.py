"""Reading tasks: by id, and page by page."""

from __future__ import annotations

from uuid import UUID

import pytest
from task_platform.domain.task import State
from task_platform.storage import reads
from task_platform.storage.outcomes import finish_unsuccessful
from task_platform.storage.pool import Pool
from task_platform.storage.queries import sql
from task_platform.storage.reads import get_task, list_tasks

from ....factories import failure
from .steps import claim, submitted_ids


async def all_ids(
    pool: Pool, limit: int, state: State | None = None, task_type: str | None = None
) -> tuple[list[UUID], int]:
    """Ids of all pages, and how many pages there were."""
    found: list[UUID] = []
    before, pages = None, 0
    while pages < 1_000:
        page = await list_tasks(
            pool, tenant="default", before=before, state=state, task_type=task_type, limit=limit
        )
        assert len(page.tasks) <= limit
        found += [task.id for task in page.tasks]
        before, pages = page.next_cursor, pages + 1
        if before is None:
            break
    return found, pages


async def test_a_task_is_found_by_its_tenant_only(pool: Pool) -> None:
    (task_id,) = await submitted_ids(pool, payload={"a": [1, None]})
    detail = await get_task(pool, tenant="default", task_id=task_id)
    assert detail is not None
    task = detail.task
    assert detail.failures == ()
    assert (task.id, task.payload, task.state) == (task_id, '{"a":[1,null]}', State.QUEUED)
    assert await get_task(pool, tenant="other", task_id=task_id) is None


async def test_a_task_shows_its_newest_failed_attempts_oldest_first(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_FAILURES", 2)
    (other,), (task_id,) = await submitted_ids(pool), await submitted_ids(pool, max_retries=9)
    for _ in range(3):
        (task,) = (await claim(pool, [task_id])).tasks
        await finish_unsuccessful(
            pool, [failure(task, retry_in_s=0)], worker="w1", closed_claims=[]
        )
    detail = await get_task(pool, tenant="default", task_id=task_id)
    assert detail is not None
    assert [each.attempt for each in detail.failures] == [2, 3]
    newest = detail.failures[-1]
    assert (newest.worker, newest.outcome, newest.error_type, newest.message) == (
        "w1",
        "retried",
        "RuntimeError",
        "told to fail",
    )
    assert newest.started_at == newest.ended_at == task.claimed_at
    unharmed = await get_task(pool, tenant="default", task_id=other)
    assert unharmed is not None
    assert unharmed.failures == ()


@pytest.mark.parametrize("limit", [1, 3, 10, 11, 200])
async def test_pages_hold_every_task_once_newest_first(pool: Pool, limit: int) -> None:
    ids = await submitted_ids(pool, 11)
    found, _ = await all_ids(pool, limit)
    assert found == sorted(ids, reverse=True)


async def test_no_tasks_are_one_empty_page(pool: Pool) -> None:
    assert await all_ids(pool, 10) == ([], 1)


async def test_filters_hold_across_windows(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "SCAN_WINDOW", 4)
    ids = await submitted_ids(pool, 21)
    rare = [ids[0], ids[1], ids[13]]
    await claim(pool, rare)
    found, pages = await all_ids(pool, 2, state=State.PROCESSING)
    assert found == sorted(rare, reverse=True)
    assert pages > 3
    assert len((await all_ids(pool, 5))[0]) == 21
    assert (await all_ids(pool, 5, task_type="sum"))[0] == sorted(ids, reverse=True)
    assert (await all_ids(pool, 5, task_type="echo"))[0] == []


async def test_every_page_is_found_by_the_index(pool: Pool) -> None:
    ids = await submitted_ids(pool, 500)
    async with pool.acquire() as connection, connection.transaction():
        # The plan that is kept when the statement has been used a few times, on a table that is
        # large enough for an index.
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        await connection.execute("set local enable_seqscan = off")
        await connection.execute(
            "prepare page (text, uuid, bigint, text, text, bigint, bigint) as " + sql("list_tasks")
        )
        plan = await connection.fetch(
            f"explain execute page ('default', '{ids[100]}', 5000, null, null, 50, 4000000)"
        )
        await connection.execute("deallocate page")
    assert any("Index Cond: (id < " in row[0] for row in plan)
