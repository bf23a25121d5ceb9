"""Several API processes on one database: races for a key, and what a kill -9 leaves behind."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from task_lab.runtime.platform_process import PlatformProcess
from task_lab.runtime.servers import NativeServers
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ...integration.platform.commands import launched
from ...integration.platform.processes import until, until_messages
from ...link import linked
from .wire import api_processes, port_of, wired

ECHO = {"task_type": "echo", "payload": {"a": 1}}
MB = 1_000_000


@pytest.fixture
def settings(database_url: str, amqp_url: str) -> Settings:
    """A database and a vhost of this test's own: what is in them can be counted."""
    return Settings(database_url=database_url, amqp_url=amqp_url)


@pytest.fixture
def two(
    servers: NativeServers, settings: Settings, tmp_path: Path
) -> Iterator[list[PlatformProcess]]:
    """Two API processes."""
    with api_processes(servers, settings, 2, tmp_path) as processes:
        yield processes


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


async def post(url: str, key: str) -> httpx.Response:
    """Submit over a connection of its own."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        return await client.post("/tasks", json=ECHO, headers={"Idempotency-Key": key})


async def count_tasks(pool: Pool) -> int:
    return int(await pool.fetchval("select count(*) from tasks"))


async def held_backend(pool: Pool) -> int | None:
    """The backend of a submission that waits for a lock, if there is one."""
    pid: int | None = await pool.fetchval(
        "select pid from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database() and query like '%insert into idempotency_keys%'"
    )
    return pid


@asynccontextmanager
async def held_submission(pool: Pool, url: str, key: str) -> AsyncIterator[int]:
    """A submission that has taken its key, and cannot commit before the block is left.

    Yields the pid of its backend.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table outbox in exclusive mode")
        asked = asyncio.create_task(post(url, key))
        try:
            yield await until(lambda: held_backend(pool))
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)


async def test_fifty_at_once_over_four_processes_are_one_task_idm01_idm02(
    servers: NativeServers, settings: Settings, tmp_path: Path, pool: Pool, key: str
) -> None:
    with api_processes(servers, settings, 4, tmp_path) as processes:
        answers = await asyncio.gather(*(post(processes[n % 4].url, key) for n in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len({answer.headers["idempotency-expires"] for answer in answers}) == 1
        assert await count_tasks(pool) == 1
        await until_messages(settings, 1)


async def test_killed_before_the_commit_leaves_neither_key_nor_task_idm04(
    two: list[PlatformProcess], pool: Pool, key: str
) -> None:
    async with held_submission(pool, two[0].url, key) as backend:
        two[0].kill()
        # As when the machine dies with its process: nobody is there to finish the statement.
        await pool.execute("select pg_terminate_backend($1)", backend)
        assert await count_tasks(pool) == 0
    answer = await post(two[1].url, key)
    assert answer.status_code == 201
    assert await count_tasks(pool) == 1


async def test_killed_while_the_commit_hangs_is_no_lasting_conflict_idm04(
    two: list[PlatformProcess], pool: Pool, key: str
) -> None:
    async with held_submission(pool, two[0].url, key):
        two[0].kill()
        # The key is taken and not committed: this repeat waits for what becomes of it.
        again = asyncio.create_task(post(two[1].url, key))
        second = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and pid <> $1"
        )
        first = await held_backend(pool)

        async def both_wait() -> bool:
            return bool(await pool.fetchval(second, first))

        await until(both_wait)
        assert not again.done()
    answer = await again
    # Postgres finished the orphaned statement, or noticed that nobody waits for it.
    assert answer.status_code in (200, 201)
    assert await count_tasks(pool) == 1
    assert (await post(two[1].url, key)).json()["id"] == answer.json()["id"]


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "link cut"])
async def test_an_answer_lost_after_the_commit_is_given_again_idm04_idm13(
    two: list[PlatformProcess], pool: Pool, key: str, killed: bool
) -> None:
    async with linked(two[0].url) as (link, url):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table outbox in exclusive mode")
            asked = asyncio.create_task(post(url, key))
            await until(lambda: held_backend(pool))
            link.freeze()
        await until(lambda: count_tasks(pool))
        assert not asked.done()
        if killed:
            two[0].kill()
        await link.cut()
        with pytest.raises(httpx.TransportError):
            await asked
    (task_id,) = await pool.fetch("select id::text from tasks")
    for process in two[1:] if killed else two:
        answer = await post(process.url, key)
        assert (answer.status_code, answer.json()["id"]) == (200, task_id["id"])
        assert answer.headers["idempotency-replayed"] == "true"


async def test_a_hundred_megabytes_in_chunks_are_refused_early_and_never_held_in09(
    servers: NativeServers, settings: Settings, tmp_path: Path
) -> None:
    with api_processes(servers, settings, 1, tmp_path) as (process,):
        memory = psutil.Process(process.pid).memory_info
        before = memory().rss
        chunk = b"%x\r\n%s\r\n" % (64_000, b" " * 64_000)
        async with wired(port_of(process)) as wire:
            await wire.send(
                b"POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            )
            await wire.send(b"Transfer-Encoding: chunked\r\n\r\n", chunk * 20)
            # A little more than the limit has been sent.
            (await wire.answer()).problem(413, "body-too-large")
            peak = before
            for _ in range(100):
                await wire.send(chunk * 16)
                peak = max(peak, memory().rss)
        assert peak - before < 20 * MB
        async with httpx.AsyncClient(base_url=process.url) as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_a_port_that_is_taken_is_one_message_and_the_code_of_a_wrong_configuration(
    settings: Settings,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        variables = {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "AMQP_URL": settings.amqp_url.get_secret_value(),
            "API_HOST": "127.0.0.1",
            "API_PORT": port,
        }
        async with launched("api", settings=variables) as process, asyncio.timeout(30):
            _, said = await process.communicate()
    *log, last = said.decode().splitlines()
    assert process.returncode == 78
    assert last == f"task-platform: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert not any("Traceback" in line or "ExceptionGroup" in line for line in log)
    assert not any(line.startswith("task-platform:") for line in log)
