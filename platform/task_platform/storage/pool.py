"""Connections to Postgres: a pool that tells the truth about its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg
import structlog

from task_platform.errors import BadData, DatabaseUnavailable, TransientError
from task_platform.settings import Settings
from task_platform.storage.queries import sql

log = structlog.get_logger()

T = TypeVar("T")
Pool = asyncpg.Pool

_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    OSError,
    TimeoutError,
)
# Longest wait for a free connection: longer means overload, and the caller should hear of it.
POOL_WAIT_S = 5.0
_MAX_PAUSE_S = 2.0

_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Conflict(TransientError):
    """A deadlock or serialisation failure: the same statement succeeds when it is repeated."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into ours, the cause kept."""
    try:
        yield
    except _CONFLICTS as error:
        raise Conflict(str(error)) from error
    except asyncpg.DataError as error:
        raise BadData(str(error)) from error
    except _UNAVAILABLE as error:
        raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error


async def open_pool(settings: Settings, *, process: str, size: int | None = None) -> Pool:
    """A pool of `size` connections. Raises DatabaseUnavailable when Postgres cannot be reached."""
    with translated_errors():
        return await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=1,
            max_size=size or settings.database_pool_size,
            command_timeout=settings.database_timeout_s,
            timeout=settings.database_timeout_s,
            max_inactive_connection_lifetime=0,
            server_settings={
                "application_name": f"task-platform {process}",
                "jit": "off",
                "timezone": "UTC",
                "idle_in_transaction_session_timeout": "30s",
            },
        )


async def fetch(pool: Pool, name: str, *args: Any) -> list[asyncpg.Record]:
    """Run a named statement and return its rows; a conflict is repeated a few times.

    Raises DatabaseUnavailable, BadData.
    """

    async def once() -> list[asyncpg.Record]:
        with translated_errors():
            async with pool.acquire(timeout=POOL_WAIT_S) as connection:
                return await connection.fetch(sql(name), *args)

    return await repeated_on_conflict(once)


async def repeated_on_conflict(statement: Callable[[], Awaitable[T]], *, tries: int = 5) -> T:
    """The statement's answer. Conflicts repeat it after a short, growing pause."""
    for attempt in range(tries):
        try:
            return await statement()
        except Conflict as error:
            if attempt == tries - 1:
                raise DatabaseUnavailable(str(error)) from error
            await asyncio.sleep(0.005 * 2**attempt)
    raise AssertionError("unreachable")


async def until_available(statement: Callable[[], Awaitable[T]], *, waiting: str) -> T:
    """The statement's answer, however long the database is away.

    waiting: what the log says is waiting.
    """
    pause_s = 0.05
    while True:
        try:
            return await statement()
        except DatabaseUnavailable as error:
            log.warning(f"{waiting} for the database", error=str(error)[:200])
            await asyncio.sleep(pause_s)
            pause_s = min(_MAX_PAUSE_S, pause_s * 2)
