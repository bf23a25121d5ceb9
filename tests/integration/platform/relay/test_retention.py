"""Retention in the relay: it goes round, in small steps, one relay at a time."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import RelayMetrics
from task_platform.relay import retention
from task_platform.relay.retention import Retention
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage import locks
from task_platform.storage.pool import Pool

from ..processes import running_relay, sample, until, until_sample


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"retention_s": 1.0, "idempotency_ttl_s": 1.0, "retention_every_s": 0.1}
    return settings.model_copy(update=changes)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small windows, and no pauses to speak of."""
    monkeypatch.setattr(retention, "BATCH", 10)
    monkeypatch.setattr(retention, "_DUTY", 0.9)


async def old_tasks(pool: Pool, count: int, *, state: str = "SUCCEEDED") -> None:
    """So many tasks with ids of an hour ago, finished then."""
    await pool.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, state, finished_at) "
        "select (lpad(to_hex((extract(epoch from now() - interval '1 hour') * 1000)::bigint "
        "+ n), 12, '0') || '70008000000000000000')::uuid, 'default', 'sum', '{}', 0, $2, "
        "case when $2 = 'QUEUED' then null else now() - interval '1 hour' end "
        "from generate_series(1, $1) as n",
        count,
        state,
    )


async def old_keys(pool: Pool, count: int) -> None:
    """So many keys that have just expired."""
    await pool.execute(
        "insert into idempotency_keys select 't', n::text, '', gen_random_uuid(), now() "
        "from generate_series(1, $1) as n",
        count,
    )


async def test_finished_tasks_and_expired_keys_go_round_after_round(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool) as relay:
        for round_ in (1, 2):
            await old_tasks(pool, 35)
            await old_keys(pool, 25)
            name = "relay_deleted_rows_total"
            await until_sample(relay, name, 35 * round_, kind="tasks")
            await until_sample(relay, name, 25 * round_, kind="idempotency_keys")
    assert await pool.fetchval("select count(*) from tasks") == 0


async def test_old_tasks_that_must_stay_do_not_hide_those_behind_them(
    settings: Settings, pool: Pool
) -> None:
    await old_tasks(pool, 40, state="QUEUED")
    await pool.execute("update tasks set due_at = now() + interval '1 day'")
    await pool.execute(
        "update tasks set state = 'SUCCEEDED', finished_at = created_at - "
        "interval '1 hour' where id in (select id from tasks order by id desc limit 3)"
    )
    async with running_relay(settings, pool) as relay:
        await until_sample(relay, "relay_deleted_rows_total", 3, kind="tasks")
    assert await pool.fetchval("select count(*) from tasks") == 37


async def test_with_no_limit_tasks_are_kept_and_keys_are_not(
    settings: Settings, pool: Pool
) -> None:
    await old_tasks(pool, 5)
    await old_keys(pool, 5)
    for_ever = settings.model_copy(update={"retention_s": 0.0})
    service = Service("relay", for_ever)
    sweeper = Retention(service, pool, RelayMetrics(service.registry))
    assert not await sweeper.run_pass()
    assert sample(service, "relay_deleted_rows_total", kind="idempotency_keys") == 5
    assert await pool.fetchval("select count(*) from tasks") == 5


async def test_a_turn_ends_and_the_next_goes_on_where_it_stood(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_TURN_S", 0.0)
    await old_tasks(pool, 25)
    service = Service("relay", settings)
    sweeper = Retention(service, pool, RelayMetrics(service.registry))
    deleted = []
    while await sweeper.run_pass():
        deleted.append(sample(service, "relay_deleted_rows_total", kind="tasks"))
    assert deleted == [10, 20]
    assert await pool.fetchval("select count(*) from tasks") == 0


async def test_while_one_relay_is_at_it_the_others_leave_it_alone(
    settings: Settings, pool: Pool
) -> None:
    await old_tasks(pool, 5)
    service = Service("relay", settings)
    sweeper = Retention(service, pool, RelayMetrics(service.registry))
    async with locks.held_lock(pool, locks.RETENTION):
        assert not await sweeper.run_pass()
    assert await pool.fetchval("select count(*) from tasks") == 5


async def test_three_relays_delete_each_row_once(settings: Settings, pool: Pool) -> None:
    await old_tasks(pool, 300)
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(running_relay(settings, pool)) for _ in range(3)]

        async def are_gone() -> bool:
            return not await pool.fetchval("select count(*) from tasks")

        await until(are_gone)
    name = "relay_deleted_rows_total"
    assert sum(sample(relay, name, kind="tasks") for relay in relays) == 300


async def test_a_lock_is_gone_with_its_session(pool: Pool) -> None:
    async with pool.acquire() as other:

        async def is_free() -> bool:
            async with locks.held_lock(pool, locks.RETENTION) as lock:
                return lock is not None

        with pytest.raises(DatabaseUnavailable):
            async with locks.held_lock(pool, locks.RETENTION) as lock:
                assert lock is not None
                assert not await is_free()
                await other.execute(
                    "select pg_terminate_backend(l.pid) from pg_locks l join pg_database d "
                    "on d.oid = l.database and d.datname = current_database() "
                    "where l.locktype = 'advisory'"
                )
                await lock.confirm()
        await until(is_free)
