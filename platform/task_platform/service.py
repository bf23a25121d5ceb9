"""The contract of every long-running process: start, ready, drain on SIGTERM, exit 0."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from task_platform.errors import ConfigurationError, DatabaseFull, DatabaseUnavailable
from task_platform.logs import configure_logging
from task_platform.metrics import ServiceMetrics, new_registry
from task_platform.settings import Settings, unknown_variables
from task_platform.storage.health import DatabaseProbe
from task_platform.storage.migrate import is_current
from task_platform.storage.pool import OUTAGE, Pool, close_pool, drop_idle, open_pool

log = structlog.get_logger()

DATABASE_EVERY_S = 1.0
_LEFTOVERS_S = 1.0


def spare_the_collector() -> None:
    """Take all that is there now, and stays, out of what the garbage collector looks through.

    It looks through everything it knows again and again: 40 ms in which a worker does nothing, and
    in an API that reads a large body, several times what the reading takes.
    """
    gc.collect()
    gc.freeze()


@dataclass
class Readiness:
    """What this process is waiting for; ready when nothing is left."""

    waiting_for: set[str] = field(default_factory=lambda: {"start"})

    def is_ready(self) -> bool:
        return not self.waiting_for

    def set(self, condition: str, met: bool) -> None:
        """Note whether a condition of readiness is met."""
        (self.waiting_for.discard if met else self.waiting_for.add)(condition)


@dataclass
class Service:
    """What a process is given to live by.

    stopping: set on SIGTERM or SIGINT.
    pool: the database, once there is one with a current schema; then has_database is set.
    """

    name: str
    settings: Settings
    registry: CollectorRegistry = field(default_factory=new_registry)
    readiness: Readiness = field(default_factory=Readiness)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    scraped: asyncio.Event = field(default_factory=asyncio.Event)
    was_ever_scraped: bool = False
    pool: Pool | None = None
    has_database: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: ServiceMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = ServiceMetrics(self.registry, service=self.name)
        self.metrics.ready.set_function(self.readiness.is_ready)

    def ops_routes(self) -> list[Route]:
        """`/healthz` (alive), `/readyz` (able to do its work now) and `/metrics`."""

        async def healthz(_: Request) -> Response:
            return PlainTextResponse("ok")

        async def readyz(_: Request) -> Response:
            waiting = sorted(self.readiness.waiting_for)
            return JSONResponse(
                {"ready": not waiting, "waiting_for": waiting}, 503 if waiting else 200
            )

        async def metrics(_: Request) -> Response:
            body = generate_latest(self.registry)
            self.was_ever_scraped = True
            self.scraped.set()
            return Response(body, media_type=CONTENT_TYPE_LATEST)

        return [
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]

    async def await_last_scrape(self) -> None:
        """Stay until the final counts have been read, if anybody reads them at all."""
        self.scraped.clear()
        if self.was_ever_scraped:
            try:
                async with asyncio.timeout(self.settings.final_scrape_wait_s):
                    await self.scraped.wait()
            except TimeoutError:
                log.warning("nobody came to read the final counts")


# As uvicorn's own.
_BACKLOG = 2_048


class _EmbeddedServer(uvicorn.Server):
    """uvicorn without its own signal handling: the service decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, *, protocol: type[asyncio.Protocol] | None = None
) -> AsyncIterator[int]:
    """Serve the app for the time of the block; yields the port.

    protocol: how a connection is spoken to; uvicorn's own over httptools unless given.
    Raises ConfigurationError when the address cannot be bound.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    # Whoever hears of the port may connect at once, though the server's own turn comes later.
    listener.listen(_BACKLOG)
    server = _EmbeddedServer(
        uvicorn.Config(
            app,
            loop="none",
            http=protocol or "httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            # Nobody's address is looked at, so nobody has to say whom he speaks for.
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    )

    async def serve() -> None:
        await server.serve(sockets=[listener])
        if not server.should_exit:
            raise RuntimeError("the server ended by itself")

    task = asyncio.create_task(serve())
    try:
        async with ending_with(task):
            yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def ending_with(task: asyncio.Task[None]) -> AsyncIterator[None]:
    """A block that does not outlive the task beside it: it fails with what that fails with."""
    block = asyncio.current_task()
    assert block is not None

    def failed(task: asyncio.Task[None]) -> BaseException | None:
        return task.exception() if task.done() and not task.cancelled() else None

    def end_block(task: asyncio.Task[None]) -> None:
        if failed(task) is not None:
            block.cancel()

    task.add_done_callback(end_block)
    try:
        yield
    except asyncio.CancelledError:
        error = failed(task)
        if error is None:
            raise
        block.uncancel()
        raise error from None
    finally:
        task.remove_done_callback(end_block)


async def database_when_current(
    service: Service,
    *,
    size: int | None = None,
    reserve: bool = False,
    keeps_plans: bool = False,
) -> Pool | None:
    """A pool, as `open_pool` opens it, on a database whose schema is current.

    None when told to stop while waiting.
    """
    service.readiness.set("database", met=False)
    while not service.stopping.is_set():
        pool = None
        try:
            pool = await open_pool(
                service.settings,
                process=service.name,
                size=size,
                reserve=reserve,
                keeps_plans=keeps_plans,
                on_wait=service.metrics.pool_wait.observe,
            )
            if await is_current(pool):
                service.pool = pool
                service.has_database.set()
                service.readiness.set("database", met=True)
                OUTAGE.over(by="start")
                return pool
            reason = "the schema is not migrated yet: run `task-platform migrate`"
        except DatabaseUnavailable as error:
            reason = str(error)
        if pool is not None:
            await close_pool(pool)
        OUTAGE.complain(reason, by="start")
        await stopped_within(service, 0.5)
    return None


async def watch_database(service: Service) -> None:
    """Keep the condition `database` of readiness true to the facts, until cancelled."""
    await service.has_database.wait()
    probe = DatabaseProbe(service.settings, process=service.name)
    try:
        while True:
            try:
                await probe.ask()
            except DatabaseUnavailable as error:
                service.readiness.set("database", met=False)
                OUTAGE.complain(error, by="readiness")
                if service.pool is not None and not isinstance(error, DatabaseFull):
                    # They may be as dead as this one.
                    drop_idle(service.pool)
            else:
                service.readiness.set("database", met=True)
                # For all: who was in trouble may have nothing to ask for now.
                OUTAGE.over()
            await asyncio.sleep(DATABASE_EVERY_S)
    finally:
        probe.close()


async def stopped_within(service: Service, seconds: float) -> bool:
    """Wait, at most so long; True when the service was told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await service.stopping.wait()
    except TimeoutError:
        return False
    return True


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; what it raised on the way is not our business.

    Once is not enough: before Python 3.12 `asyncio.wait_for` swallows a cancellation that meets the
    very moment of its answer, and the libraries below us use it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


def _stop_on_signals(service: Service) -> None:
    """Drain on SIGTERM and SIGINT, however often they come.

    Not by the loop's own handlers: those vanish with the loop, and a second signal during the last
    moments would then turn an orderly end into a violent one.
    """
    loop = asyncio.get_running_loop()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(service.stopping.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


async def run(
    name: str, settings: Settings, work: Callable[[Service], Awaitable[None]], *, ops: bool = True
) -> None:
    """Run `work` until it ends: it watches `service.stopping`, drains and returns.

    ops: serve health and metrics on the ops port (the API serves them itself).
    """
    configure_logging(settings.log_level, process=name)
    service = Service(name, settings)
    _stop_on_signals(service)
    started = monotonic()
    log.info("starting", settings=settings.printable())
    for variable, nearest in unknown_variables(os.environ):
        log.warning("unknown variable is ignored", variable=variable, nearest=nearest)
    watching = asyncio.create_task(watch_database(service))
    try:
        async with ending_with(watching):
            await _served(service, work, ops=ops)
    finally:
        await cancelled(watching)
    log.info("stopped", after_s=round(monotonic() - started, 1))
    await _end_leftovers()


async def _end_leftovers() -> None:
    """End what is still there; a handler that refuses to end is left behind with its process.

    The loop would wait for it for ever, and everything else is done.
    """
    leftovers = asyncio.all_tasks() - {asyncio.current_task()}
    for task in leftovers:
        task.cancel()
    if leftovers:
        _, refusing = await asyncio.wait(leftovers, timeout=_LEFTOVERS_S)
        if refusing:
            log.warning("something refuses to end and is left behind", tasks=len(refusing))
            sys.stderr.flush()
            os._exit(0)


async def _served(
    service: Service, work: Callable[[Service], Awaitable[None]], *, ops: bool
) -> None:
    settings = service.settings
    if ops:
        app = Starlette(routes=service.ops_routes())
        async with serving(app, settings.ops_host, settings.ops_port) as port:
            log.info("health and metrics", port=port)
            await work(service)
            await service.await_last_scrape()
    else:
        await work(service)
