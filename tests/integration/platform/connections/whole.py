"""The whole platform in this process, over links that can be broken; or in real processes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from task_platform.api.app import application
from task_platform.broker import client
from task_platform.handlers.registry import Handler
from task_platform.service import Service, cancelled, watch_database
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, close_pool, open_pool

from ....link import Link, linked_broker, linked_database
from ..commands import launched
from ..processes import running_relay, running_worker, until
from ..real_processes import free_port

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2]}}


@dataclass
class Whole:
    """An API, a relay and workers, and the links on which they stand.

    pool: the test's own, past the links.
    """

    settings: Settings
    pool: Pool
    http: httpx.AsyncClient
    api: Service
    relay: Service
    workers: list[Service]
    database: Link
    broker: Link

    async def post(self, body: Any = SUM) -> httpx.Response:
        return await self.http.post("/tasks", json=body)

    async def accepted(self, count: int, body: Any = SUM) -> list[str]:
        """The ids of so many tasks, each submitted until it is accepted."""

        async def one() -> str:
            async with asyncio.timeout(60):
                while (answer := await self.post(body)).status_code != 201:
                    assert answer.status_code == 503, answer.text
                    await asyncio.sleep(0.05)
            return str(answer.json()["id"])

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def until_all_succeeded(self, *, within_s: float = 30) -> None:
        """Return once every task that was ever committed has succeeded."""

        async def is_done() -> bool:
            return not await self.pool.fetchval(
                "select count(*) from tasks where state <> 'SUCCEEDED'"
            )

        await until(is_done, within_s=within_s)

    async def until_consumers(self, count: int, *, within_s: float = 15) -> None:
        """Return once the broker counts so many consumers of `tasks`."""

        async def are_there() -> bool:
            return await consumers_of(self.settings) == count

        await until(are_there, within_s=within_s)


async def consumers_of(settings: Settings) -> int:
    """The consumers that the broker counts on `tasks`."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        return (await client.queue_depth(channel, "tasks")).consumers


@asynccontextmanager
async def running_whole(
    settings: Settings, pool: Pool, *handlers: Handler, workers: int = 1
) -> AsyncIterator[Whole]:
    """Everything that the platform consists of, each part with a pool of its own."""
    async with AsyncExitStack() as stack:
        database, over = await stack.enter_async_context(linked_database(settings))
        broker, over = await stack.enter_async_context(linked_broker(over))

        async def own_pool(name: str) -> Pool:
            own = await open_pool(over, process=name)
            stack.push_async_callback(close_pool, own)
            return own

        async def with_watch(service: Service, own: Pool) -> Service:
            service.pool = own
            service.has_database.set()
            watching = asyncio.create_task(watch_database(service))
            stack.push_async_callback(cancelled, watching)
            return service

        async def worker() -> Service:
            own = await own_pool("worker")
            service = await stack.enter_async_context(running_worker(over, own, *handlers))
            return await with_watch(service, own)

        own = await own_pool("relay")
        relay = await with_watch(await stack.enter_async_context(running_relay(over, own)), own)
        running = [await worker() for _ in range(workers)]
        api = Service("api", over)
        api.readiness.set("start", met=True)
        own = await own_pool("api")
        app = await stack.enter_async_context(application(api, own))
        await with_watch(api, own)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                base_url="http://api",
            )
        )
        yield Whole(settings, pool, http, api, relay, running, database, broker)


@asynccontextmanager
async def watched(
    service: Service, work: Callable[[Service], Awaitable[None]]
) -> AsyncIterator[Service]:
    """A process's work in this process, with the eye on its database that every process has."""
    watching = asyncio.create_task(watch_database(service))
    working = asyncio.ensure_future(work(service))
    try:
        yield service
    finally:
        service.stopping.set()
        async with asyncio.timeout(30):
            await working
        await cancelled(watching)


@dataclass
class Process:
    """A process of the platform, what it says and where it answers."""

    child: asyncio.subprocess.Process
    url: str
    said: list[dict[str, Any]] = field(default_factory=list)

    async def ready_status(self) -> tuple[int, list[str]]:
        """What `/readyz` answers: its status, and what is waited for."""
        async with httpx.AsyncClient() as client_:
            try:
                answer = await client_.get(f"{self.url}/readyz")
            except httpx.TransportError:
                return 0, []
        return answer.status_code, answer.json()["waiting_for"]

    async def until_ready(self, *, within_s: float = 20) -> None:
        async def is_ready() -> bool:
            assert self.child.returncode is None, self.said
            return (await self.ready_status())[0] == 200

        await until(is_ready, within_s=within_s)

    async def until_waiting_for(self, *conditions: str, within_s: float = 15) -> None:
        async def is_waiting() -> bool:
            return await self.ready_status() == (503, sorted(conditions))

        await until(is_waiting, within_s=within_s)

    async def listen(self) -> None:
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            self.said.append(json.loads(line))


@asynccontextmanager
async def process(settings: Settings, command: str, **changes: str) -> AsyncIterator[Process]:
    """A real process; it has to drain and exit with 0 at the end."""
    port = free_port()
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "AMQP_URL": settings.amqp_url.get_secret_value(),
        "QUEUE_TYPE": settings.queue_type,
        "FINAL_SCRAPE_WAIT_S": "0",
        "OPS_PORT": str(port),
        "API_PORT": str(port),
    } | changes
    async with launched(command, settings=environment) as child:
        running = Process(child, f"http://127.0.0.1:{port}")
        listening = asyncio.create_task(running.listen())
        try:
            yield running
            child.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await child.wait() == 0
                await listening
        finally:
            await cancelled(listening)
