"""More processes than Postgres has connections: some wait and say so, the API keeps its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import until, until_state
from .whole import SUM, Process, process

API_POOL = 4
# Each process has one more, on which it asks whether the database is there.
API_SHARE = API_POOL + 1
WORKERS, LEFT_FOR_WORKERS = 3, 3


@asynccontextmanager
async def limited_user(
    settings: Settings, pool: Pool, connections: int
) -> AsyncIterator[tuple[str, Settings]]:
    """A user who gets so many connections, and no more; and settings with it."""
    name, password = f"limited_{secrets.token_hex(4)}", secrets.token_hex(8)
    await pool.execute(
        f"create role {name} login password '{password}' connection limit {connections}"
    )
    await pool.execute(f"grant all on all tables in schema public to {name}")
    address = urlsplit(settings.database_url.get_secret_value())
    netloc = f"{name}:{password}@{address.hostname}:{address.port}"
    try:
        url = SecretStr(address._replace(netloc=netloc).geturl())
        yield name, settings.model_copy(update={"database_url": url})
    finally:
        await pool.execute(f"drop owned by {name}")
        await pool.execute(f"drop role {name}")


@pytest.mark.slow
async def test_the_api_keeps_its_share_and_workers_wait_for_theirs_db08(
    settings: Settings, pool: Pool
) -> None:
    async with AsyncExitStack() as stack:
        user, limited = await stack.enter_async_context(
            limited_user(settings, pool, API_SHARE + LEFT_FOR_WORKERS)
        )
        api = await stack.enter_async_context(
            process(limited, "api", DATABASE_POOL_SIZE=str(API_POOL))
        )
        await api.until_ready()
        workers = [
            await stack.enter_async_context(process(limited, "worker", DATABASE_POOL_SIZE="10"))
            for _ in range(WORKERS)
        ]

        async def is_taken() -> bool:
            sessions = "select count(*) from pg_stat_activity where usename = $1"
            taken = await pool.fetchval(sessions, user)
            return bool(taken == API_SHARE + LEFT_FOR_WORKERS and any(map(complaints, workers)))

        await until(is_taken, within_s=45)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=api.url, timeout=30))
        answers = await asyncio.gather(*(http.post("/tasks", json=SUM) for _ in range(300)))
        assert {answer.status_code for answer in answers} == {201}
        ids = [UUID(answer.json()["id"]) for answer in answers]
        # Whoever has a connection works, be it one.
        await until_state(pool, ids, "SUCCEEDED", within_s=45)
        assert (await api.ready_status())[0] == 200
        assert complaints(api) == []
        ready = [(await worker.ready_status())[0] for worker in workers]
        assert 503 in ready, "not all of them can have what they need"
        told = [error for worker in workers for error in complaints(worker)]
        assert all("too many connections" in error for error in told), told
        assert len(told) <= 2 * WORKERS, told
        await pool.execute(f"alter role {user} connection limit 100")
        for worker in workers:
            await worker.until_ready(within_s=45)


def complaints(running: Process) -> list[str]:
    """What a process said of its database."""
    return [
        line["error"] for line in running.said if line["event"] == "the database does not answer"
    ]
