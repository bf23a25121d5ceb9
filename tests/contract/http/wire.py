"""The API over TCP, byte by byte: served in this process, or by processes of its own."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from task_lab.runtime.platform_process import PlatformProcess, platform_variables
from task_lab.runtime.process import run_boots
from task_lab.runtime.servers import NativeServers
from task_platform.api.app import application
from task_platform.api.http_protocol import BoundedHttpProtocol
from task_platform.service import Service, serving
from task_platform.settings import Settings
from task_platform.storage.pool import open_pool

BODY = json.dumps({"task_type": "echo", "payload": 1}).encode()
HEAD = b"POST /tasks HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n"


class HastyProtocol(BoundedHttpProtocol):
    """The protocol of the API with short times."""

    headers_within_s = 0.5
    body_within_s = 0.5
    linger_s = 0.5


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self, status: int, kind: str) -> None:
        """Check that it is this problem."""
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/problem+json"
        members = json.loads(self.body.decode("utf-8"))
        assert members["type"] == f"urn:task-platform:problem:{kind}"
        assert members["status"] == status
        assert members["detail"]


class Wire:
    """A connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        """Send, unless the other side has closed meanwhile."""
        with suppress(ConnectionError):
            self._writer.write(b"".join(parts))
            await self._writer.drain()

    def end(self) -> None:
        """Say that nothing more will be sent, and stay to listen."""
        self._writer.write_eof()

    def send_and_end(self, *parts: bytes) -> None:
        """Send, and that nothing more will come, as one: whoever reads the one finds the other."""
        plug = self._writer.get_extra_info("socket")
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._writer.write(b"".join(parts))
        self._writer.write_eof()

    async def answer(self, *, within_s: float = 10.0, has_body: bool = True) -> Answer:
        """The next answer. has_body: False for one to HEAD."""
        async with asyncio.timeout(within_s):
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = {}
            for line in lines:
                name, _, value = line.partition(": ")
                assert name.lower() not in headers, f"two headers {name}"
                headers[name.lower()] = value
            length = int(headers["content-length"])
            body = await self._reader.readexactly(length) if has_body else b""
        return Answer(int(first.split()[1]), headers, body)

    async def is_closed(self, *, within_s: float = 10.0) -> bool:
        """Return once the other side has closed; False when it said something instead."""
        async with asyncio.timeout(within_s):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def wired(port: int) -> AsyncIterator[Wire]:
    """A connection to this port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def served(
    settings: Settings, protocol: type[asyncio.Protocol] = BoundedHttpProtocol
) -> AsyncIterator[int]:
    """The API served by a thread of this process, on the loop of the real one; yields its port."""
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        service = Service("api", settings)
        service.readiness.set("start", met=True)
        pool = await open_pool(settings, process="api")
        try:
            async with (
                application(service, pool) as app,
                serving(app, "127.0.0.1", 0, protocol=protocol) as port,
            ):
                ready.set_result((port, asyncio.get_running_loop(), service.stopping))
                await service.stopping.wait()
        finally:
            pool.terminate()

    running = asyncio.create_task(asyncio.to_thread(lambda: uvloop.run(serve())))
    started = asyncio.wrap_future(ready)
    either: set[asyncio.Future[Any]] = {running, started}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    port, loop, stopping = await started
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopping.set)
        await running


def port_of(process: PlatformProcess) -> int:
    """Where an API process listens."""
    return int(process.url.rpartition(":")[2])


@contextmanager
def api_processes(
    servers: NativeServers, settings: Settings, count: int, logs: Path, **changes: str
) -> Iterator[list[PlatformProcess]]:
    """So many ready API processes on the settings' database; none is left at the end.

    changes: further settings by their name.
    """
    variables = platform_variables(
        {f"TASK_PLATFORM_{name}": value for name, value in changes.items()},
        database_url=settings.database_url.get_secret_value(),
        amqp_url=settings.amqp_url.get_secret_value(),
    )
    logs.mkdir(exist_ok=True)
    processes = [
        PlatformProcess(
            servers.instance,
            job="api",
            name=f"api-{number}",
            port=servers.ports.take(),
            variables=variables,
            logs=logs,
        )
        for number in range(1, count + 1)
    ]
    try:
        run_boots(*(process.boot() for process in processes))
        yield processes
    finally:
        for process in processes:
            process.kill()
