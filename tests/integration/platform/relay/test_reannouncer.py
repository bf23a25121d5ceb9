"""The search for forgotten tasks, pass by pass: when it looks, and how far its mark may go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import RelayMetrics, new_registry
from task_platform.relay import reannounce
from task_platform.relay.reannounce import Reannouncer
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outbox import reannounce as storage_reannounce
from task_platform.storage.outcomes import finish_succeeded
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import submit_tasks
from uuid_utils.compat import uuid7

from ....factories import new_task, success
from ..processes import announce, submit, until_messages


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every id counts as settled, and windows are small."""
    monkeypatch.setattr(reannounce, "_SETTLED_AFTER_S", -60.0)
    monkeypatch.setattr(reannounce, "_WINDOW", 3)


@pytest.fixture
async def reannouncer(settings: Settings, pool: Pool) -> AsyncIterator[Callable[[], Reannouncer]]:
    """Makes reannouncers for which a due task is forgotten at once."""
    made: list[Reannouncer] = []
    quick = settings.model_copy(update={"reannounce_age_s": -1.0, "reannounce_every_s": 3_600.0})

    def make() -> Reannouncer:
        made.append(Reannouncer(pool, quick, RelayMetrics(new_registry())))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def forgotten(pool: Pool, count: int) -> list[UUID]:
    """Tasks whose messages are lost."""
    ids = await submit(pool, count)
    await pool.execute("delete from outbox")
    return ids


async def announced(pool: Pool) -> list[UUID]:
    """Tasks in the outbox, in order."""
    rows = await pool.fetch("select unnest(task_ids) as id from outbox order by id")
    return [row["id"] for row in rows]


async def finish(pool: Pool, ids: list[UUID]) -> None:
    """Let the tasks succeed."""
    claim = await claim_tasks(pool, ids, owner="w", lease_s=60)
    await finish_succeeded(pool, [success(task) for task in claim.tasks], closed_claims=[])


@pytest.mark.usefixtures("hasty")
async def test_a_pass_finds_all_that_is_forgotten_over_many_windows(
    reannouncer: Callable[[], Reannouncer], pool: Pool
) -> None:
    ids = await forgotten(pool, 10)
    search = reannouncer()
    await search.run_pass()
    assert await announced(pool) == ids
    await pool.execute("delete from outbox")
    await search.run_pass()
    assert await announced(pool) == [], "not again before the pause is over"


@pytest.mark.parametrize("slow", ["broker", "search"])
async def test_a_slow_pass_does_not_put_off_the_next_one_for_long(
    reannouncer: Callable[[], Reannouncer], pool: Pool, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setattr(reannounce, "_LONGEST_PAUSE_S", 1.0)
    search = reannouncer()
    owner, name = (search._probe, "depth") if slow == "broker" else (reannounce, "reannounce")
    at_full_speed = getattr(owner, name)

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(1)
        return await at_full_speed(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, slowly)
        await search.run_pass()
    ids = await forgotten(pool, 3)
    async with asyncio.timeout(6):
        while await announced(pool) != ids:
            await search.run_pass()
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("hasty")
async def test_the_mark_stops_below_the_first_open_task(
    reannouncer: Callable[[], Reannouncer], pool: Pool
) -> None:
    ids = await forgotten(pool, 9)
    await finish(pool, [*ids[:4], *ids[5:8]])
    search = reannouncer()
    await search.run_pass()
    assert ids[3] <= search._mark < ids[4]
    assert await announced(pool) == [ids[4], ids[8]]


@pytest.mark.usefixtures("hasty")
async def test_the_mark_passes_what_is_finished(
    reannouncer: Callable[[], Reannouncer], pool: Pool
) -> None:
    ids = await forgotten(pool, 7)
    await finish(pool, ids)
    search = reannouncer()
    await search.run_pass()
    assert search._mark == ids[-1]


async def test_the_mark_leaves_room_for_ids_that_are_still_to_be_committed(
    reannouncer: Callable[[], Reannouncer], pool: Pool
) -> None:
    await finish(pool, await forgotten(pool, 3))
    search = reannouncer()
    await search.run_pass()
    assert search._mark < reannounce.uuid7_floor(time() - 59)


async def test_nothing_is_announced_while_its_message_may_still_wait(
    reannouncer: Callable[[], Reannouncer], settings: Settings, pool: Pool
) -> None:
    ids = await forgotten(pool, 3)
    await announce(settings, ids)
    await until_messages(settings, 3)
    await reannouncer().run_pass()
    assert await announced(pool) == []


async def pass_now(search: Reannouncer) -> None:
    """A pass without the pauses before it."""
    search._not_before = search._busy_not_before = 0.0
    await search.run_pass()


@pytest.mark.usefixtures("hasty")
async def test_a_pass_that_fails_is_followed_by_a_pause_and_goes_on_where_it_stood(
    reannouncer: Callable[[], Reannouncer], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await forgotten(pool, 9)
    at_work = storage_reannounce
    afters: list[UUID] = []

    async def fails_at_the_second(*args: Any, after: UUID, **kwargs: Any) -> Any:
        afters.append(after)
        if len(afters) == 2:
            await asyncio.sleep(0.05)
            raise DatabaseUnavailable("canceling statement due to statement timeout")
        return await at_work(*args, after=after, **kwargs)

    monkeypatch.setattr(reannounce, "reannounce", fails_at_the_second)
    search = reannouncer()
    with pytest.raises(DatabaseUnavailable):
        await search.run_pass()
    assert await announced(pool) == ids[:3]
    await search.run_pass()
    assert len(afters) == 2, "not before the pause is over"
    await pass_now(search)
    assert await announced(pool) == ids
    assert afters[1:3] == [ids[2], ids[2]]


@pytest.mark.usefixtures("hasty")
async def test_a_long_search_has_its_turns(
    reannouncer: Callable[[], Reannouncer], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await forgotten(pool, 9)
    search = reannouncer()
    monkeypatch.setattr(reannounce, "_TURN_S", 0.0)
    for upto in (3, 6, 9):
        await pass_now(search)
        assert await announced(pool) == ids[:upto]
    await pass_now(search)
    assert search._after is None


@pytest.mark.usefixtures("hasty")
async def test_the_forgotten_are_found_behind_a_window_of_delayed_tasks_although_messages_wait(
    reannouncer: Callable[[], Reannouncer], settings: Settings, pool: Pool
) -> None:
    delayed = await forgotten(pool, 3)
    overtaken = await forgotten(pool, 3)
    done = await forgotten(pool, 2)
    await pool.execute(
        "update tasks set due_at = now() + interval '1 hour', "
        "started_at = now() - interval '3 hours' where id = any($1)",
        delayed,
    )
    await pool.execute(
        "update tasks set due_at = now() - interval '3 hours' where id = any($1)", overtaken
    )
    await pool.execute(
        "update tasks set state = 'SUCCEEDED', finished_at = now(), "
        "due_at = now() - interval '2 hours', started_at = now() - interval '2 hours' "
        "where id = any($1)",
        done,
    )
    await announce(settings, done)
    await until_messages(settings, 2)
    search = reannouncer()
    # Even of ids this young something may have been due, and started, for long.
    search._settings = search._settings.model_copy(update={"reannounce_every_s": -1.0})
    for _ in range(2):
        await pass_now(search)
    assert await announced(pool) == overtaken


async def test_a_task_whose_clock_was_far_behind_is_found_in_what_counts_as_history(
    reannouncer: Callable[[], Reannouncer], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reannounce, "_WINDOW", 3)
    monkeypatch.setattr(reannounce, "_HISTORY_EVERY_S", 0.0)

    async def made(*ages_s: float) -> list[UUID]:
        ids = [UUID(int=reannounce.uuid7_floor(time() - age_s).int + 1) for age_s in ages_s]
        tasks = [new_task(id=task_id) for task_id in ids]
        await submit_tasks(pool, tasks, grace_s=3_600, key_ttl_s=60)
        await pool.execute("delete from outbox")
        return ids

    await finish(pool, await made(75, 74, 73, 72, 70))
    search = reannouncer()
    await pass_now(search)
    late = await made(71)
    assert late[0] < search._mark
    for _ in range(3):
        await pass_now(search)
    assert await announced(pool) == late


@given(st.floats(min_value=0, max_value=4e9))
def test_the_floor_of_an_instant_is_below_its_ids(unix_s: float) -> None:
    milliseconds = int(unix_s * 1_000)
    floor = reannounce.uuid7_floor(unix_s)
    assert floor.int >> 80 == milliseconds
    assert floor.int & ((1 << 80) - 1) == 0


def test_an_id_of_now_lies_between_the_floors_around_it() -> None:
    before, made, after = time(), uuid7(), time()
    assert reannounce.uuid7_floor(before) <= made <= reannounce.uuid7_floor(after + 0.001)
