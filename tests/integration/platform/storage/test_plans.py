"""The statements of every moment stay fast on connections that knew the table when it was small."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from task_platform.metrics import RelayMetrics, new_registry
from task_platform.relay import census
from task_platform.relay.census import Census
from task_platform.settings import Settings
from task_platform.storage.outcomes import finish_succeeded
from task_platform.storage.pool import Pool, open_pool
from task_platform.storage.queries import sql

from ....factories import success
from .steps import claim, submitted_ids

# More than a server needs before it keeps a plan for good.
MANY_CALLS = 10
SMALL, GROWN = 100, 20_000


@pytest.fixture(params=[False, True], ids=["planned anew", "plans kept"])
async def one_connection(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Pool]:
    """A pool whose statements all go over one connection, as a relay and as a worker have it.

    On a database of its own: the rows that other tests left dead would change the plans.
    """
    settings = Settings(database_url=database_url)
    pool = await open_pool(settings, process="test", size=1, keeps_plans=request.param)
    yield pool
    await pool.close()


async def _claim_and_finish(pool: Pool) -> None:
    for task_id in await submitted_ids(pool, MANY_CALLS):
        answer = await claim(pool, [task_id])
        await finish_succeeded(
            pool, [success(task) for task in answer.tasks], closed_claims=[answer.claim_id or 0]
        )


async def test_the_cost_of_a_claim_grows_with_its_tasks_and_no_faster(
    one_connection: Pool,
) -> None:
    ids = await submitted_ids(one_connection, 250)
    arguments = (ids, ["QUEUED"], "PROCESSING", "w", 10.0, False, False)
    plan = await one_connection.fetchval(
        "explain (analyze, format json) " + sql("claim_tasks"), *arguments
    )
    nodes = list(_nodes(json.loads(plan)[0]["Plan"]))
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in nodes) <= len(ids)
    assert sum(node.get("Rows Removed by Join Filter", 0) for node in nodes) == 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


async def _whole_table_reads(pool: Pool) -> int:
    await pool.execute("select pg_stat_force_next_flush()")
    counted: int = await pool.fetchval(
        "select seq_scan from pg_stat_user_tables where relname = 'tasks'"
    )
    return counted


async def test_a_table_that_has_grown_is_not_read_as_a_whole_db12(
    one_connection: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = one_connection
    # Of half the table, reading all of it would be a good plan.
    monkeypatch.setattr(census, "_WINDOW", GROWN // 20)
    await pool.execute("alter table tasks set (autovacuum_enabled = off)")
    await submitted_ids(pool, SMALL)
    await pool.execute("analyze tasks")
    await _claim_and_finish(pool)
    for _ in range(GROWN // 1_000):
        await submitted_ids(pool, 1_000)
    before = await _whole_table_reads(pool)
    await _claim_and_finish(pool)
    await Census(pool, RelayMetrics(new_registry())).run_pass()
    assert await _whole_table_reads(pool) == before
