"""The census tells what the table holds, without reading all of it again and again."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import RelayMetrics, new_registry
from task_platform.relay import census
from task_platform.relay.census import Census
from task_platform.relay.reannounce import uuid7_floor
from task_platform.settings import Settings
from task_platform.storage.census import census_window
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import submit_tasks

from ....factories import new_task

HOUR_S = 3_600.0


class Counting:
    """A census that looks whenever it is told to, and what it tells."""

    def __init__(self, pool: Pool) -> None:
        self.registry: CollectorRegistry = new_registry()
        self.census = Census(pool, RelayMetrics(self.registry))

    async def count(self) -> Counting:
        """One whole count."""
        counted_at = self.census._counted_at
        while self.census._counted_at == counted_at:
            self.census._not_before = 0.0
            await self.census.run_pass()
        return self

    def backlog(self) -> tuple[float | None, float | None]:
        """(queued, processing)."""
        queued, processing = (
            self.registry.get_sample_value("relay_backlog_tasks", {"state": state})
            for state in ("queued", "processing")
        )
        return queued, processing

    def ledger(self) -> tuple[float | None, ...]:
        """(succeeded, failed, cancelled)."""
        return tuple(
            self.registry.get_sample_value("relay_ledger_finished_tasks_total", {"state": state})
            for state in ("succeeded", "failed", "cancelled")
        )

    def oldest_s(self) -> float | None:
        return self.registry.get_sample_value("relay_backlog_oldest_age_seconds")


@pytest.fixture
def settings(database_url: str) -> Settings:
    """A database alone: the census needs no broker."""
    return Settings(database_url=database_url)


@pytest.fixture
def counting(pool: Pool) -> Callable[[], Counting]:
    """Makes a new one."""
    return lambda: Counting(pool)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of ten tasks, of which three may be remembered by their ids."""
    for name, value in {"_WINDOW": 10, "_FEW": 3, "_MOST_REMEMBERED": 6}.items():
        monkeypatch.setattr(census, name, value)


async def made(pool: Pool, count: int, *, ago_s: float = HOUR_S) -> list[UUID]:
    """So many tasks with ids of a while ago, in order."""
    first = uuid7_floor(time() - ago_s).int + 1
    ids = [UUID(int=first + (n << 80)) for n in range(count)]
    await submit_tasks(pool, [new_task(id=one) for one in ids], grace_s=HOUR_S, key_ttl_s=60)
    return ids


async def become(pool: Pool, ids: list[UUID], state: str) -> None:
    """Let the tasks be in this state."""
    await pool.execute("update tasks set state = $2 where id = any($1)", ids, state)


async def looked_at(pool: Pool, monkeypatch: pytest.MonkeyPatch, counting: Counting) -> int:
    """How many rows one count looks at in windows."""
    rows = 0

    async def noted(pool: Pool, *, after: UUID, before: UUID, window: int, few: int) -> object:
        nonlocal rows
        answer = await census_window(pool, after=after, before=before, window=window, few=few)
        rows += sum(answer.tasks.values())
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(census, "census_window", noted)
        await counting.count()
    return rows


async def test_an_empty_table_is_known_to_be_empty(counting: Callable[[], Counting]) -> None:
    looking = counting()
    assert looking.backlog() == (None, None)
    assert looking.ledger() == (None, None, None)
    await looking.count()
    assert looking.backlog() == (0, 0)
    assert looking.ledger() == (0, 0, 0)
    assert looking.oldest_s() == 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ago_s", [HOUR_S, 0.0, -HOUR_S], ids=["old", "young", "future"])
async def test_each_task_counts_once_over_many_windows(
    counting: Callable[[], Counting], pool: Pool, ago_s: float
) -> None:
    ids = await made(pool, 47, ago_s=ago_s)
    for state, some in {
        "SUCCEEDED": ids[::3],
        "FAILED": ids[1::9],
        "CANCELLED": ids[2:3],
        "PROCESSING": ids[5:6],
    }.items():
        await become(pool, some, state)
    looking = counting()
    for _ in range(2):
        await looking.count()
        assert looking.backlog() == (47 - 16 - 6 - 1 - 1, 1)
        assert looking.ledger() == (16, 6, 1)
    await pool.execute("update tasks set state = 'FAILED' where state in ('QUEUED', 'PROCESSING')")
    await looking.count()
    assert looking.backlog() == (0, 0)
    assert looking.ledger() == (16, 47 - 16 - 1, 1)


@pytest.mark.usefixtures("small")
async def test_one_old_open_task_does_not_keep_the_rest_from_being_history(
    counting: Callable[[], Counting], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await made(pool, 60)
    await become(pool, ids[1:], "SUCCEEDED")
    looking = await counting().count()
    assert await looked_at(pool, monkeypatch, looking) <= 10, "one window of history"
    assert looking.backlog() == (1, 0)
    await become(pool, ids[:1], "FAILED")
    await looking.count()
    assert looking.backlog() == (0, 0)
    assert looking.ledger() == (59, 1, 0)


@pytest.mark.usefixtures("small")
async def test_many_that_wait_for_a_late_time_are_counted_with_their_neighbours_only(
    counting: Callable[[], Counting], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await made(pool, 100)
    waiting, done = ids[20:40], [*ids[:20], *ids[40:]]
    await become(pool, done, "SUCCEEDED")
    looking = await counting().count()
    assert await looked_at(pool, monkeypatch, looking) <= 20 + 10
    assert looking.backlog() == (20, 0)
    await become(pool, waiting[:18], "SUCCEEDED")
    await looking.count()
    assert await looked_at(pool, monkeypatch, looking) <= 10
    assert looking.backlog() == (2, 0)
    assert looking.ledger() == (98, 0, 0)


@pytest.mark.usefixtures("small")
async def test_deleting_what_was_counted_lowers_nothing(
    counting: Callable[[], Counting], pool: Pool
) -> None:
    ids = await made(pool, 30)
    await become(pool, ids[:25], "SUCCEEDED")
    looking = await counting().count()
    await pool.execute("delete from tasks where id = any($1)", ids[:22])
    for _ in range(4):
        await looking.count()
    assert looking.ledger() == (25, 0, 0)
    await become(pool, ids[25:], "SUCCEEDED")
    await looking.count()
    assert looking.ledger() == (30, 0, 0)
    assert looking.backlog() == (0, 0)


@pytest.mark.usefixtures("small")
async def test_a_task_whose_clock_was_far_behind_is_found_in_what_counts_as_history(
    counting: Callable[[], Counting], pool: Pool
) -> None:
    ids = await made(pool, 35)
    await become(pool, ids, "SUCCEEDED")
    looking = await counting().count()
    late = UUID(int=ids[10].int + 1)
    await submit_tasks(pool, [new_task(id=late)], grace_s=HOUR_S, key_ttl_s=60)
    for _ in range(5):
        await looking.count()
    assert looking.backlog() == (1, 0)
    await become(pool, [late], "FAILED")
    await looking.count()
    assert looking.ledger() == (35, 1, 0)


@pytest.mark.usefixtures("small")
async def test_history_that_has_grown_is_counted_in_more_windows(
    counting: Callable[[], Counting], pool: Pool
) -> None:
    ids = await made(pool, 20)
    await become(pool, ids, "SUCCEEDED")
    looking = await counting().count()
    late = [UUID(int=ids[5].int + 1 + n) for n in range(45)]
    await submit_tasks(pool, [new_task(id=one) for one in late], grace_s=HOUR_S, key_ttl_s=60)
    await become(pool, late[::3], "FAILED")
    for _ in range(3):
        await looking.count()
    assert looking.backlog() == (30, 0)
    assert looking.ledger() == (20, 15, 0)
    await become(pool, [one for one in late if one not in late[::3]], "FAILED")
    await looking.count()
    assert looking.backlog() == (0, 0)
    assert looking.ledger() == (20, 45, 0)


@pytest.mark.usefixtures("small")
async def test_the_first_count_takes_short_turns_and_tells_nothing_before_its_end(
    counting: Callable[[], Counting], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await become(pool, await made(pool, 35), "SUCCEEDED")
    monkeypatch.setattr(census, "_FIRST_TURN_S", 0.0)
    looking = counting()
    for _ in range(4):
        await looking.census.run_pass()
        assert looking.backlog() == (None, None)
        assert looking.ledger() == (None, None, None)
    await looking.count()
    assert looking.ledger() == (35, 0, 0)


async def test_the_age_is_that_of_the_oldest_open_task_by_the_clock_of_the_database(
    counting: Callable[[], Counting], pool: Pool
) -> None:
    old, young = await made(pool, 2)
    await pool.execute("update tasks set created_at = now() - interval '90 s' where id = $1", old)
    looking = await counting().count()
    assert 90 <= (looking.oldest_s() or 0) < 95
    await become(pool, [old], "SUCCEEDED")
    await looking.count()
    assert 0 < (looking.oldest_s() or 0) < 5
    await become(pool, [young], "SUCCEEDED")
    await looking.count()
    assert looking.oldest_s() == 0


async def test_figures_that_nobody_can_renew_are_forgotten(
    counting: Callable[[], Counting], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await made(pool, 3)
    await become(pool, ids[:1], "SUCCEEDED")
    looking = await counting().count()

    async def fails(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(census, "census_window", fails)
        for stale_s, told in ((60.0, (2, 0)), (-1.0, (None, None))):
            patched.setattr(census, "_STALE_S", stale_s)
            looking.census._not_before = 0.0
            with pytest.raises(DatabaseUnavailable):
                await looking.census.run_pass()
            assert looking.backlog() == told
    assert looking.ledger() == (1, 0, 0), "what has happened stays true"
    await looking.count()
    assert looking.backlog() == (2, 0)


async def test_the_pause_follows_the_time_that_a_count_takes(
    counting: Callable[[], Counting], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = await counting().count()
    monkeypatch.setattr(census, "_DUTY", 1e-9)
    looking.census._not_before = 0.0
    await looking.census.run_pass()
    counted_at = looking.census._counted_at
    await looking.census.run_pass()
    assert looking.census._counted_at == counted_at
