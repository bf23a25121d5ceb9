"""One of many: a lock in the database that only one process of the platform holds at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from task_platform.storage.pool import Pool, acquired, translated_errors
from task_platform.storage.queries import sql

# Any constants work, as long as every process of this platform takes the same ones.
DEAD_LETTERS = 7_240_131_002
RETENTION = 7_240_131_003


class Lock:
    """A lock in hand."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        self._connection = connection

    async def confirm(self) -> None:
        """Return if the lock is still ours; to be asked every few seconds.

        Raises DatabaseUnavailable when its session is gone, and the lock with it.
        """
        with translated_errors():
            await self._connection.execute(sql("confirm_lock"))


@asynccontextmanager
async def held_lock(pool: Pool, key: int) -> AsyncIterator[Lock | None]:
    """The lock for the time of the block; None when somebody else has it.

    It belongs to a transaction, so that it goes with its session, and a session whose process is
    frozen is ended by Postgres itself (`idle_in_transaction_session_timeout`).
    Raises DatabaseUnavailable.
    """
    with translated_errors():
        async with acquired(pool) as connection, connection.transaction():
            is_ours = await connection.fetchval(sql("try_lock"), key)
            yield Lock(connection) if is_ours else None
