"""Whether Postgres answers, and what time it has.

The first is asked over a connection of its own, not over the pool: one that is merely busy is no
reason to say that the database is away.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg

from task_platform.errors import DatabaseUnavailable
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, fetch, translated_errors
from task_platform.storage.queries import sql

ANSWER_TIMEOUT_S = 3.0


async def database_now(pool: Pool) -> datetime:
    """The database's clock. Raises DatabaseUnavailable."""
    (row,) = await fetch(pool, "database_now")
    answer: datetime = row["now"]
    return answer


class DatabaseProbe:
    """One connection, opened when needed, on which one small question is asked."""

    def __init__(self, settings: Settings, *, process: str) -> None:
        self._settings = settings
        self._process = process
        self._connection: asyncpg.Connection | None = None

    async def ask(self) -> None:
        """Return when Postgres takes writes. Raises DatabaseUnavailable, within seconds."""
        try:
            with translated_errors():
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._connect()
                    accepts_writes = await self._connection.fetchval(sql("accepts_writes"))
        except BaseException:
            self.close()
            raise
        if not accepts_writes:
            # A new connection may find the server that takes writes now.
            self.close()
            raise DatabaseUnavailable("the database is read-only")

    def close(self) -> None:
        """Let the connection go, without waiting for anything."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._settings.database_url.get_secret_value(),
            timeout=ANSWER_TIMEOUT_S,
            server_settings={"application_name": f"task-platform {self._process} probe"},
        )
