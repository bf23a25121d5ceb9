"""Migrations: once, whoever comes first; and never under newer tables."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest
from task_platform.errors import ConfigurationError, DatabaseUnavailable
from task_platform.settings import Settings
from task_platform.storage.migrate import is_current, known_migrations, migrate
from task_platform.storage.pool import open_pool


async def test_eight_at_once_on_an_empty_database_db07(empty_url: str) -> None:
    names = [name for _, name, _ in known_migrations()]
    answers = await asyncio.gather(*(migrate(empty_url) for _ in range(8)))
    assert sorted(answers, key=len) == [[]] * 7 + [names]
    assert await migrate(empty_url) == []


async def test_a_newer_database_is_refused(empty_url: str) -> None:
    await migrate(empty_url)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("insert into schema_migrations (version, name) values (9999, 'later')")
    await connection.close()
    with pytest.raises(ConfigurationError, match="9999"):
        await migrate(empty_url)


async def test_a_migration_that_fails_leaves_nothing(empty_url: str) -> None:
    connection = await asyncpg.connect(empty_url)
    try:
        await connection.execute("create table outbox (id bigint)")
        with pytest.raises(asyncpg.DuplicateTableError):
            await migrate(empty_url)
        assert await connection.fetchval("select to_regclass('tasks')") is None
        await connection.execute("drop table outbox")
        assert await migrate(empty_url)
    finally:
        await connection.close()


async def test_an_empty_database_is_not_current(empty_url: str) -> None:
    pool = await open_pool(Settings(database_url=empty_url), process="test")
    try:
        assert not await is_current(pool)
        await migrate(empty_url)
        assert await is_current(pool)
    finally:
        await pool.close()


@pytest.mark.parametrize("wrong", ["database", "port", "user"])
async def test_a_database_that_cannot_be_used_is_unavailable(storage_url: str, wrong: str) -> None:
    parts = urlsplit(storage_url)
    url = {
        "database": parts._replace(path="/no_such_database"),
        "port": parts._replace(netloc=f"{parts.username}:{parts.password}@{parts.hostname}:1"),
        "user": parts._replace(netloc=f"nobody:wrong@{parts.hostname}:{parts.port}"),
    }[wrong]
    with pytest.raises(DatabaseUnavailable):
        await migrate(url.geturl())
