"""Migrations by real processes: many at once, one that dies in the middle, old data underneath."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import asyncpg
import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.storage.migrate import known_migrations, migrate

from ..commands import begun, finished
from ..processes import until

NAMES = [name for _, name, _ in known_migrations()]
FIRST = (files("task_platform.storage") / "migrations" / NAMES[0]).read_text(encoding="utf-8")


@asynccontextmanager
async def empty_database(servers: NativeServers) -> AsyncIterator[str]:
    name = f"empty_{secrets.token_hex(6)}"
    try:
        yield servers.create_database(name)
    finally:
        servers.drop_database(name)


async def all_migrate(url: str, count: int) -> None:
    """So many processes migrate at once: all succeed, and each migration is applied by one."""
    ended = await asyncio.gather(*(finished(url, "migrate") for _ in range(count)))
    assert {(each.code, each.err) for each in ended} == {(0, "")}
    applied = [line for each in ended for line in each.out.splitlines()]
    assert sorted(line for line in applied if line.startswith("applied")) == [
        f"applied {name}" for name in NAMES
    ]
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select name from schema_migrations order by version")
        assert [row["name"] for row in rows] == NAMES
    finally:
        await connection.close()


async def test_eight_processes_at_once_on_an_empty_database_db07(empty_url: str) -> None:
    await all_migrate(empty_url, 8)


@pytest.mark.slow
async def test_eight_processes_at_once_ten_times_over_db07(servers: NativeServers) -> None:
    for _ in range(10):
        async with empty_database(servers) as url:
            await all_migrate(url, 8)


async def at_the_first_version(url: str) -> asyncpg.Connection:
    """A connection to the database as the first migration left it, with rows of that time."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "create table schema_migrations (version integer primary key, name text not null, "
        "applied_at timestamptz not null default now())"
    )
    await connection.execute(FIRST)
    await connection.execute(
        f"insert into schema_migrations (version, name) values (1, '{NAMES[0]}')"
    )
    await connection.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, state) "
        "select gen_random_uuid(), 't', 'sum', '{}', 3, 'FAILED' from generate_series(1, 500)"
    )
    await connection.execute(
        "insert into dead_letters (task_id, reason, failed_at) select id, 'old', now() from tasks"
    )
    await connection.execute(
        "insert into outbox (queue, task_ids, due_at, available_at) "
        "select 'tasks.dlq', array_agg(id), now(), now() from tasks"
    )
    return connection


async def test_a_database_with_rows_is_brought_up_to_date_db07(empty_url: str) -> None:
    connection = await at_the_first_version(empty_url)
    try:
        before = await connection.fetch("select * from tasks order by id")
        assert await migrate(empty_url) == NAMES[1:]
        after = await connection.fetch("select * from tasks order by id")
        assert [dict(row) for row in after] == [{**row, "replay_of": None} for row in before]
        letters = await connection.fetch("select * from dead_letters")
        assert {(row["resolved_at"], row["replayed_as"]) for row in letters} == {(None, None)}
        assert await connection.fetchval("select cardinality(task_ids) from outbox") == 500
    finally:
        await connection.close()


async def test_a_process_killed_in_the_middle_leaves_nothing_half_done_db07(
    empty_url: str,
) -> None:
    connection = await at_the_first_version(empty_url)
    watcher = await asyncpg.connect(empty_url)
    try:
        async with connection.transaction():
            # The second migration makes tables first, and then has to wait for this one.
            await connection.execute("lock table tasks in access exclusive mode")
            async with begun(empty_url, "migrate") as process:
                await until(waiting_for_a_table(watcher), within_s=30)
                process.kill()
                await process.wait()
        # Its session goes on for a moment, and has nobody to commit for.
        await until(alone(watcher), within_s=30)
        assert await watcher.fetchval("select to_regclass('effects')") is None
        versions = await watcher.fetch("select version from schema_migrations")
        assert [row["version"] for row in versions] == [1]
        assert (await finished(empty_url, "migrate")).out.splitlines() == [
            f"applied {name}" for name in NAMES[1:]
        ]
    finally:
        await connection.close()
        await watcher.close()


def waiting_for_a_table(watcher: asyncpg.Connection) -> Callable[[], Any]:
    async def is_waiting() -> bool:
        return bool(
            await watcher.fetchval(
                "select count(*) from pg_locks where not granted and relation is not null"
            )
        )

    return is_waiting


def alone(watcher: asyncpg.Connection) -> Callable[[], Any]:
    async def is_alone() -> bool:
        others = await watcher.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and backend_type = 'client backend'"
        )
        return bool(others == 2)

    return is_alone


async def test_a_newer_database_is_refused_by_name_db07(empty_url: str) -> None:
    await migrate(empty_url)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("insert into schema_migrations (version, name) values (9999, 'later')")
    await connection.close()
    ended = await finished(empty_url, "migrate")
    assert ended.code == 78
    assert "9999" in ended.err
    assert "Traceback" not in ended.err
