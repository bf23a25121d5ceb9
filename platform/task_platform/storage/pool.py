"""Connections to Postgres: a pool that tells the truth about its errors."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter
from typing import Any, TypeVar

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from task_platform.errors import BadData, DatabaseFull, DatabaseUnavailable, TransientError
from task_platform.logs import Outage
from task_platform.settings import Settings
from task_platform.storage.queries import sql

T = TypeVar("T")

_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What the driver says when the server has just ended the session and the link is not down yet.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.PostgresSystemError,
    OSError,
    TimeoutError,
)
# Longest wait for a free connection: longer means overload, and the caller should hear of it.
POOL_WAIT_S = 5.0
RELEASE_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 5.0
_MAX_PAUSE_S = 2.0
# The server ends a statement that takes too long; one that is not even ended by then has lost its
# server.
_SILENCE_S = 1.0
# A link that swallows everything is given up after about 11 s, at both of its ends.
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_TRIES = 5, 2, 3
_UNACKNOWLEDGED_S = 10

# What every part of this process that needs the database complains to.
OUTAGE = Outage("the database does not answer")

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
    except asyncpg.TooManyConnectionsError as error:
        raise DatabaseFull(str(error)) from error
    except _UNAVAILABLE as error:
        raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error


def _nobody_counts(_: float) -> None:
    return


class _OwnConnection(asyncpg.Connection):
    """A session that runs the platform's statements alone, which leave nothing behind to reset.

    The driver's query for that is one more round trip for each statement: 6 % of the API's time,
    and 15 µs of Postgres's.
    """

    def get_reset_query(self) -> str:
        return ""


class Pool(asyncpg.Pool):
    """The driver's pool, and who wants to know how long its connections were waited for."""

    on_wait: Callable[[float], None] = staticmethod(_nobody_counts)


async def open_pool(
    settings: Settings,
    *,
    process: str,
    size: int | None = None,
    reserve: bool = False,
    keeps_plans: bool = False,
    resets: bool = False,
    on_wait: Callable[[float], None] = _nobody_counts,
) -> Pool:
    """A pool of `size` connections. Raises DatabaseUnavailable when Postgres cannot be reached.

    reserve: open them all at once and keep them, so that whoever takes what Postgres has left does
        not take these.
    keeps_plans: plan each statement once for a connection: a third of what a small batch costs
        Postgres. For statements that find their rows by a key, which no size of a table changes.
    resets: leave to nobody what another has set in a session: for statements that are not ours.
    on_wait: called with the seconds that each wait for a connection of it took.
    """
    size = size or settings.database_pool_size
    with translated_errors():
        pool = await Pool(
            settings.database_url.get_secret_value(),
            min_size=size if reserve else 1,
            max_size=size,
            command_timeout=settings.database_timeout_s + _SILENCE_S,
            timeout=POOL_WAIT_S,
            max_inactive_connection_lifetime=0,
            # A session that begins read-only may stay so after its server takes writes again.
            target_session_attrs=SessionAttribute.read_write,
            init=_watch_link,
            server_settings={
                "application_name": f"task-platform {process}",
                "jit": "off",
                # A plan made for a new, small table would be kept while it grows to millions: it
                # must not be one that reads all of it.
                "plan_cache_mode": "force_generic_plan" if keeps_plans else "force_custom_plan",
                "enable_seqscan": "off" if keeps_plans else "on",
                # What the statements are written for, whatever the database's own default.
                "default_transaction_isolation": "read committed",
                "timezone": "UTC",
                "statement_timeout": f"{settings.database_timeout_s * 1_000:.0f}",
                "idle_in_transaction_session_timeout": "30s",
                "tcp_keepalives_idle": str(_KEEPALIVE_IDLE_S),
                "tcp_keepalives_interval": str(_KEEPALIVE_EVERY_S),
                "tcp_keepalives_count": str(_KEEPALIVE_TRIES),
            },
            # What the driver's own way to open a pool would fill in.
            max_queries=50_000,
            setup=None,
            loop=None,
            connection_class=asyncpg.Connection if resets else _OwnConnection,
            record_class=asyncpg.Record,
        )
    pool.on_wait = on_wait
    return pool


async def close_pool(pool: Pool) -> None:
    """Close a pool in bounded time, whatever state its connections are in."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pool.terminate()


def drop_idle(pool: Pool) -> None:
    """Close the connections that nobody uses: the next to need one opens it.

    Not by the pool's own `expire_connections`, which takes leave of a silent server politely, and
    complains when it does not answer.
    """
    for holder in pool._holders:  # type: ignore[attr-defined]
        if holder.is_connected() and holder.is_idle():
            holder.terminate()


@asynccontextmanager
async def acquired(pool: Pool) -> AsyncIterator[PoolConnectionProxy]:
    """A connection for the time of the block, waited for `POOL_WAIT_S` at most.

    One that fell silent is thrown away at once: asking it to cancel or to roll back would only wait
    for the same silence again. Its server ends what it was doing by its own time limit.
    """
    asked = perf_counter()
    try:
        connection = await pool.acquire(timeout=POOL_WAIT_S)
    except TimeoutError:
        # The longest waits of all: without them the others would look good.
        pool.on_wait(perf_counter() - asked)
        raise
    pool.on_wait(perf_counter() - asked)
    try:
        yield connection
    except TimeoutError:
        connection.terminate()
        raise
    finally:
        await pool.release(connection, timeout=RELEASE_TIMEOUT_S)


async def fetch(pool: Pool, name: str, *args: Any) -> list[asyncpg.Record]:
    """Run a named statement and return its rows; a conflict is repeated a few times.

    Raises DatabaseUnavailable, BadData.
    """

    async def once() -> list[asyncpg.Record]:
        with translated_errors():
            async with acquired(pool) as connection:
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
            answer = await statement()
        except DatabaseUnavailable as error:
            OUTAGE.complain(error, by=waiting)
            await asyncio.sleep(pause_s)
            pause_s = min(_MAX_PAUSE_S, pause_s * 2)
        else:
            OUTAGE.over(by=waiting)
            return answer


async def _watch_link(connection: asyncpg.Connection) -> None:
    """Let the kernel find out that the other end of a connection has vanished."""
    link = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if link is None or link.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # The loop's own socket object cannot be configured, a second one on the same link can.
    with socket.socket(fileno=os.dup(link.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", _KEEPALIVE_EVERY_S),
            ("TCP_KEEPCNT", _KEEPALIVE_TRIES),
            ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_S * 1_000),
        ):
            if hasattr(socket, option):  # not every system has each of them
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
