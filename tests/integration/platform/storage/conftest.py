"""One database for these tests, emptied after each: making one a test takes longer than they do."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, open_pool

TABLES = (
    "tasks",
    "idempotency_keys",
    "outbox",
    "claims",
    "dead_letters",
    "attempt_failures",
    "effects",
    "effect_log",
)


@pytest.fixture(scope="session")
def storage_url(servers: NativeServers, migrated_template: str) -> str:
    """The database of all tests in this folder."""
    return servers.create_database("storage_tests", template=migrated_template)


@pytest.fixture
def empty_url(servers: NativeServers) -> Iterator[str]:
    """A database without tables."""
    name = f"empty_{secrets.token_hex(6)}"
    yield servers.create_database(name)
    servers.drop_database(name)


@pytest.fixture
async def settings(storage_url: str) -> Settings:
    """Settings on an empty database, without a broker."""
    connection = await asyncpg.connect(storage_url)
    # Deleting a few rows is faster than truncating, which makes new files.
    await connection.execute(";".join(f"delete from {table}" for table in TABLES))
    await connection.close()
    return Settings(database_url=storage_url)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """An open pool on an empty database."""
    pool = await open_pool(settings, process="test")
    yield pool
    await pool.close()
