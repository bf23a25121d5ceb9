"""A database that takes no writes for a while, as after a failover: refused, not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest
from asyncpg.pool import PoolConnectionProxy
from task_lab.runtime.servers import NativeServers, started
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import rows, until, until_messages, until_state
from .whole import SUM, running_whole

RUNNING = 4


@asynccontextmanager
async def live_sessions_read_only(pool: Pool) -> AsyncIterator[PoolConnectionProxy]:
    """All sessions of the server turn read-only, and back: their links stay."""
    async with pool.acquire() as connection:
        # Itself it has to go on writing.
        await connection.execute("set default_transaction_read_only = off")
        await connection.execute("alter system set default_transaction_read_only = on")
        await connection.execute("select pg_reload_conf()")
        try:
            yield connection
        finally:
            await connection.execute("alter system reset default_transaction_read_only")
            await connection.execute("select pg_reload_conf()")


@asynccontextmanager
async def new_sessions_read_only(pool: Pool) -> AsyncIterator[PoolConnectionProxy]:
    """All links break, and whoever connects gets a session that stays read-only to its end."""
    async with pool.acquire() as connection:
        name = await connection.fetchval("select current_database()")
        await connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'task-platform %'"
            " and pid <> pg_backend_pid()"
        )
        try:
            yield connection
        finally:
            await connection.execute(f'alter database "{name}" reset default_transaction_read_only')


@pytest.mark.parametrize("read_only", [live_sessions_read_only, new_sessions_read_only])
async def test_a_read_only_database_is_503_and_nothing_is_acknowledged_db10(
    settings: Settings,
    pool: Pool,
    servers: NativeServers,
    read_only: Callable[[Pool], AbstractAsyncContextManager[PoolConnectionProxy]],
) -> None:
    settings = settings.model_copy(update={"lease_s": 30, "renew_s": 1})
    sleep, effect = ({"task_type": name, "payload": {"seconds": 1}} for name in ("sleep", "effect"))
    async with running_whole(settings, pool) as whole:
        running = [UUID(task_id) for task_id in await whole.accepted(RUNNING, sleep)]
        writing = [UUID(task_id) for task_id in await whole.accepted(1, effect)]
        await until_state(pool, running + writing, "PROCESSING")
        services = [whole.api, whole.relay, *whole.workers]
        async with read_only(pool) as connection:
            refused = await whole.http.post("/tasks", json=SUM, headers={"Idempotency-Key": "db10"})
            assert refused.status_code == 503, refused.text
            assert refused.json()["type"].endswith(":unavailable")
            assert "retry-after" in refused.headers

            async def are_waiting() -> bool:
                return all("database" in one.readiness.waiting_for for one in services)

            await until(are_waiting, within_s=15)
            # By now the handlers have ended, and their outcomes wait.
            await asyncio.sleep(1.5)
            unfinished = await connection.fetch("select id from tasks where state = 'PROCESSING'")
            assert sorted(row["id"] for row in unfinished) == sorted(running + writing)
            vhost = settings.amqp_url.get_secret_value().rpartition("/")[2]
            told = await asyncio.to_thread(
                started(servers.rabbitmq).ctl,
                *("list_queues", "--vhost", vhost, "--no-table-headers"),
                *("name", "messages_unacknowledged"),
            )
            held = dict(line.split() for line in told.splitlines())
            assert held["tasks"] == str(len(running + writing))

        async def are_ready() -> bool:
            return all(one.readiness.is_ready() for one in services)

        await until(are_ready, within_s=45)
        # Readiness is the truth: no session is left that cannot write.
        answers = await asyncio.gather(*(whole.post() for _ in range(50)))
        assert {answer.status_code for answer in answers} == {201}
        again = await whole.http.post("/tasks", json=SUM, headers={"Idempotency-Key": "db10"})
        assert again.status_code == 201
        await whole.until_all_succeeded(within_s=45)
        for row in await rows(pool, running):
            assert (row["attempts"], row["fence"]) == (1, 1)
        # A handler that could not write has failed, once: its attempt counts, its effect does not.
        (effect_row,) = await rows(pool, writing)
        assert effect_row["attempts"] == 2
        effects = await pool.fetch("select task_id from effect_log where kind = 'guarded'")
        assert [row["task_id"] for row in effects] == writing
        await until_messages(settings, 0)
