"""Connections that handlers write with: few, of a pool of their own, waited for in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from task_platform.errors import DatabaseUnavailable, LeaseLost, NonRetryable
from task_platform.settings import Settings
from task_platform.storage.pool import (
    POOL_WAIT_S,
    Pool,
    open_pool,
    translated_errors,
    until_available,
)
from task_platform.storage.queries import sql

Connection = PoolConnectionProxy

# What a connection says that cannot be rolled back; InternalClientError: the server has just ended
# the session, and the link is not down yet.
_BROKEN = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# A connection that does not roll back within this time is broken, and thrown away.
_ROLLBACK_S = 2.0
# Should the worker freeze between its last statement and the commit, the server frees the locks
# that the reaper needs.
_COMMIT_WITHIN = "5s"


class HandlerConnections:
    """The connections of this worker's handlers, opened when the first one asks.

    A pool of their own: whatever handlers do, claims, completions and leases have theirs. Who asks
    first is served first, which asyncpg's own pool does not promise.

    on_wait: called with the seconds that each waited.
    """

    def __init__(
        self, settings: Settings, *, on_wait: Callable[[float], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._on_wait = on_wait
        self._turns = asyncio.Semaphore(settings.handler_pool_size)
        self._opening = asyncio.Lock()
        self._pool: Pool | None = None
        self._is_closed = False

    async def acquire(self) -> Connection:
        """A connection, to be released. Raises DatabaseUnavailable, at latest after the wait."""
        started = perf_counter()
        wait_s = self._settings.database_timeout_s
        try:
            async with asyncio.timeout(wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                f"no connection for handlers became free within {wait_s:g} s"
            ) from None
        try:
            pool = await self._opened()
            with translated_errors():
                connection: Connection = await pool.acquire(timeout=POOL_WAIT_S)
        except BaseException:
            self._turns.release()
            raise
        self._on_wait(perf_counter() - started)
        return connection

    async def release(self, connection: Connection) -> None:
        """Take a connection back; an open transaction is rolled back at once.

        A caller that is cancelled meanwhile does not interrupt that.
        """
        assert self._pool is not None
        try:
            # Where it cannot be rolled back, the pool has thrown it away.
            with suppress(*_BROKEN):
                await self._pool.release(connection, timeout=_ROLLBACK_S)
        finally:
            self._turns.release()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the time of the block."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            await self.release(connection)

    async def close(self) -> None:
        """Close the pool, if there ever was one; what handlers still have open is rolled back."""
        self._is_closed = True
        async with self._opening:
            if self._pool is not None:
                self._pool.terminate()

    async def _opened(self) -> Pool:
        async with self._opening:
            if self._is_closed:
                raise LeaseLost("the worker has given its tasks back")
            if self._pool is None:
                self._pool = await open_pool(
                    self._settings,
                    process="handlers",
                    size=self._settings.handler_pool_size,
                    resets=True,
                )
            return self._pool


class HandlerTransaction:
    """A transaction of a handler's: begun, then ended, and rolled back unless it was committed.

    Each statement sees what is committed by then.
    """

    def __init__(self, connections: HandlerConnections) -> None:
        self._connections = connections
        self._is_ended = False

    async def begin(self) -> Self:
        """Open it. Raises DatabaseUnavailable."""
        self.connection = await self._connections.acquire()
        self._transaction = self.connection.transaction(isolation="read_committed")
        try:
            with translated_errors():
                await self._transaction.start()
        except BaseException:
            await self.end()
            raise
        return self

    async def end(self) -> None:
        """Give the connection back, at once; what is not committed is rolled back.

        A caller that is cancelled meanwhile does not interrupt that.
        """
        if not self._is_ended:
            self._is_ended = True
            await asyncio.shield(self._roll_back_and_release())

    async def _roll_back_and_release(self) -> None:
        try:
            # Before the pool does, which reports an open transaction as somebody's mistake.
            with suppress(*_BROKEN):
                async with asyncio.timeout(_ROLLBACK_S):
                    await self._transaction.rollback()
        finally:
            await self._connections.release(self.connection)

    async def hurry(self) -> None:
        """Prepare for the commit. Raises NonRetryable when there is nothing to commit any more."""
        with translated_errors():
            is_open = self.connection.is_in_transaction()
        if not is_open:
            raise NonRetryable("the handler ended its transaction by itself")
        await fetch_on(self.connection, "hurry_transaction", _COMMIT_WITHIN)

    async def commit(self, was_committed: Callable[[Connection], Awaitable[bool]]) -> None:
        """Commit. Raises DatabaseUnavailable when it was not, and what the server has against it.

        was_committed: asked, on another connection, when the answer to the commit was lost; it must
            wait for a transaction that may still be open.
        """
        try:
            with translated_errors():
                await self._transaction.commit()
        except DatabaseUnavailable:
            with suppress(asyncpg.InterfaceError):  # the pool may have thrown it away by itself
                self.connection.terminate()
            await self.end()

            async def ask() -> bool:
                async with self._connections.connection() as connection:
                    return await was_committed(connection)

            if not await until_available(ask, waiting="a commit without an answer waits"):
                raise


async def fetch_on(connection: Connection, name: str, *args: Any) -> list[asyncpg.Record]:
    """Run a named statement on this connection. Raises DatabaseUnavailable, BadData, Conflict."""
    with translated_errors():
        return await connection.fetch(sql(name), *args)
