"""Group commit: one refused value never costs its neighbours their commit."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.api.group_commit import GroupCommit
from task_platform.domain.task import NewTask
from task_platform.errors import InvalidInput, Overloaded
from task_platform.metrics import ApiMetrics, new_registry
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import Created

from ....factories import new_task


class Announced:
    """Takes what was committed, as the announcements do."""

    def __init__(self) -> None:
        self.commits: list[int] = []

    def add(self, commit: object) -> None:
        self.commits.append(len(commit.task_ids))  # type: ignore[attr-defined]


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
def commit(settings: Settings, pool: Pool, announced: Announced) -> GroupCommit:
    metrics = ApiMetrics(new_registry())
    return GroupCommit(pool, settings, metrics, announced)  # type: ignore[arg-type]


async def test_submissions_at_once_share_commits(commit: GroupCommit, announced: Announced) -> None:
    outcomes = await asyncio.gather(*(commit.submit(new_task()) for _ in range(500)))
    assert {type(outcome) for outcome in outcomes} == {Created}
    assert sum(announced.commits) == 500
    assert len(announced.commits) <= 5
    assert max(announced.commits) <= 250


async def test_a_refused_value_stands_alone(
    commit: GroupCommit, announced: Announced, pool: Pool
) -> None:
    def task(n: int) -> NewTask:
        return new_task(task_type="nul\x00" if n in (3, 4, 77) else "sum")

    outcomes = await asyncio.gather(
        *(commit.submit(task(n)) for n in range(100)), return_exceptions=True
    )
    refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, InvalidInput)]
    assert refused == [3, 4, 77]
    assert await pool.fetchval("select count(*) from tasks") == 97
    assert sum(announced.commits) == 97


async def test_a_batch_tells_which_item_is_refused(commit: GroupCommit) -> None:
    outcomes = await commit.submit_batch([new_task(), new_task(task_type="\x00"), new_task()])
    assert [type(outcome) for outcome in outcomes] == [Created, InvalidInput, Created]


async def test_what_waits_for_its_commit_is_counted(
    settings: Settings, pool: Pool, announced: Announced
) -> None:
    registry = new_registry()
    one_at_a_time = settings.model_copy(update={"commit_concurrency": 1})
    commit = GroupCommit(pool, one_at_a_time, ApiMetrics(registry), announced)  # type: ignore[arg-type]

    def waiting() -> float | None:
        return registry.get_sample_value("api_submissions_waiting")

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table outbox in exclusive mode")
        first = [
            asyncio.ensure_future(commit.submit(new_task())),
            asyncio.ensure_future(commit.submit_batch([new_task()])),
        ]
        await asyncio.sleep(0.05)
        assert waiting() == 0, "these are being committed"
        behind = [
            *(asyncio.ensure_future(commit.submit(new_task())) for _ in range(20)),
            asyncio.ensure_future(commit.submit_batch([new_task() for _ in range(30)])),
        ]
        await asyncio.sleep(0.05)
        assert waiting() == 50
    await asyncio.gather(*first, *behind)
    assert waiting() == 0


async def test_who_waited_too_long_is_refused_and_not_committed_later_idm09(
    settings: Settings, pool: Pool, announced: Announced
) -> None:
    hurried = settings.model_copy(update={"submit_timeout_s": 0.2, "commit_concurrency": 1})
    commit = GroupCommit(pool, hurried, ApiMetrics(new_registry()), announced)  # type: ignore[arg-type]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table outbox in exclusive mode")
        first = asyncio.ensure_future(commit.submit(new_task()))
        await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(
            *(commit.submit(new_task()) for _ in range(20)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {Overloaded}
    await asyncio.gather(first, return_exceptions=True)
    await commit.drain()
    assert await pool.fetchval("select count(*) from tasks") <= 1
