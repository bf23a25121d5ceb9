"""Replaying the dead with everything running: what is mended succeeds, what is not dies again."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import Any

import pytest
from task_platform.domain.retry import RetryPolicy
from task_platform.settings import Settings
from task_platform.storage import dead_letters
from task_platform.storage.dead_letters import Outcome
from task_platform.storage.pool import Pool
from task_platform.tools.dlq_bulk import purge, replay
from uuid_utils.compat import uuid7

from ....factories import handler, some_ids
from ..processes import (
    rows,
    running_relay,
    running_worker,
    submit,
    until,
    until_messages,
    until_state,
)
from .dead import QUEUE, dead, impatient, taken_from

QUICK = RetryPolicy(base_s=0.01, cap_s=0.05)


@pytest.fixture
def settings(settings: Settings, queue_type: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return impatient(settings.model_copy(update={"queue_type": queue_type}), monkeypatch)


async def test_a_replay_succeeds_when_the_cause_is_gone_and_dies_again_when_not_rt09(
    settings: Settings, pool: Pool
) -> None:
    is_mended = False

    def mendable(_: Any) -> str:
        if not is_mended:
            raise RuntimeError("broken")
        return "fine"

    def hopeless(_: Any) -> None:
        raise RuntimeError("for ever")

    types = [
        handler("mendable", mendable, retry=QUICK),
        handler("hopeless", hopeless, retry=QUICK),
    ]
    async with running_relay(settings, pool), running_worker(settings, pool, *types):
        (mended,) = await submit(pool, task_type="mendable", max_retries=1)
        (bad,) = await submit(pool, task_type="hopeless", max_retries=2)
        before = await until_state(pool, [mended, bad], "FAILED")
        await until_messages(settings, 2, queue=QUEUE)
        is_mended = True
        report = await replay(pool, [mended, bad], task_type=None, rate=1_000)
        assert report.count(Outcome.REPLAYED) == 2
        await until_state(pool, [report.new_ids[mended]], "SUCCEEDED")
        (again,) = await until_state(pool, [report.new_ids[bad]], "FAILED")
        assert (again["attempts"], again["fence"], again["replay_of"]) == (3, 3, bad)
        assert await rows(pool, [mended, bad]) == before, "the old ones stay as they were"
        history = await pool.fetch("select task_id, count(*) from attempt_failures group by 1")
        assert {row["task_id"]: row["count"] for row in history} == {
            mended: 2,
            bad: 3,
            again["id"]: 3,
        }
        await until_messages(settings, 1, queue=QUEUE)
        assert await taken_from(settings) == Counter([again["id"]])
        assert await dead_letters.count_open(pool) == (1, False)


async def test_a_bulk_replay_does_not_meet_its_own_dead_rt09(
    settings: Settings, pool: Pool
) -> None:
    ids = await dead(pool, 12)
    await pool.execute("update tasks set task_type = 'hopeless'")

    def hopeless(_: Any) -> None:
        raise RuntimeError("for ever")

    types = [handler("hopeless", hopeless, retry=QUICK)]
    async with running_relay(settings, pool), running_worker(settings, pool, *types):
        # Slowly enough that the first are dead again before the last are replayed.
        report = await replay(pool, None, task_type=None, rate=10)
        assert set(report.new_ids) == set(ids)
        await until_state(pool, list(report.new_ids.values()), "FAILED")
    assert await pool.fetchval("select count(*) from tasks") == 24
    assert (await dead_letters.count_open(pool))[0] == 12


async def test_a_bulk_replay_keeps_to_its_rate_rt09(pool: Pool) -> None:
    await dead(pool, 40)
    started = monotonic()
    report = await replay(pool, None, task_type=None, rate=50)
    assert report.total == 40
    # Portions of ten: the last leaves when thirty are due.
    assert 0.6 <= monotonic() - started < 5
    created = await pool.fetchval(
        "select count(distinct created_at) from tasks where replay_of is not null"
    )
    assert created == 4


async def test_bulk_commands_take_one_type_or_all(pool: Pool) -> None:
    some = await dead(pool, 3)
    await dead(pool, 4)
    await pool.execute("update tasks set task_type = 'other' where id = any($1)", some)
    (stranger,) = some_ids(1)
    await pool.execute("insert into dead_letters values ($1, 'NoSuchTask', now())", stranger)
    assert (await replay(pool, None, task_type="none", rate=1_000)).total == 0
    assert (await purge(pool, None, task_type="other")).count(Outcome.PURGED) == 3
    report = await replay(pool, None, task_type=None, rate=1_000)
    assert (report.count(Outcome.REPLAYED), report.not_done) == (4, {stranger: Outcome.NO_TASK})
    assert (await purge(pool, None, task_type=None)).count(Outcome.PURGED) == 1
    assert await dead_letters.count_open(pool) == (0, False)


async def test_what_is_replayed_or_purged_leaves_the_queue(settings: Settings, pool: Pool) -> None:
    kept, replayed, purged = await dead(pool, 3, announced=True)
    async with running_relay(settings, pool):

        async def are_announced() -> bool:
            return await dead_letters.count_open(pool) == (3, False)

        await until(are_announced)
        await dead_letters.replay_dead_letters(pool, {replayed: uuid7()})
        await dead_letters.purge_dead_letters(pool, [purged])
        await until_messages(settings, 1, queue=QUEUE)
    assert await taken_from(settings) == Counter([kept])
