"""The API process: database, publisher, application; drain in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import structlog
from fastapi import FastAPI

from task_platform.api import problems
from task_platform.api.announcements import Announcements
from task_platform.api.answers import Answers
from task_platform.api.edge import Edge
from task_platform.api.front import Application
from task_platform.api.group_commit import GroupCommit
from task_platform.api.http_protocol import BoundedHttpProtocol
from task_platform.api.routes import Routes
from task_platform.broker.publisher import Publisher
from task_platform.handlers.registry import HandlerRegistry
from task_platform.metrics import ApiMetrics, BrokerMetrics
from task_platform.service import (
    Service,
    cancelled,
    database_when_current,
    ending_with,
    serving,
    spare_the_collector,
)
from task_platform.storage.pool import Pool, close_pool

log = structlog.get_logger()

DESCRIPTION = (
    "Submit tasks and follow them. A task answered with 201 is committed: it will reach a terminal "
    "state whatever happens to the broker or the workers."
)


@asynccontextmanager
async def application(service: Service, pool: Pool) -> AsyncIterator[FastAPI]:
    """The ASGI application over an open pool, for the time of the block.

    Afterwards everything that was taken is committed, and announced if the broker answers. A
    failure of the announcements ends the block: nobody would send what is committed.
    """
    settings = service.settings
    metrics = ApiMetrics(service.registry)
    publisher = Publisher(settings, name="api")
    BrokerMetrics(service.registry).blocked.set_function(lambda: publisher.is_blocked)
    announcements = Announcements(pool, publisher, settings, metrics)
    commit = GroupCommit(pool, settings, metrics, announcements)
    handlers = HandlerRegistry.load(settings.handlers, builtin_types=settings.builtin_types)
    edge = Edge(handlers, settings.strict_types)
    app = Application(
        title="Task Platform", version=version("task-platform"), description=DESCRIPTION
    )
    # Otherwise `/tasks/` answers with an empty redirect.
    app.router.redirect_slashes = False
    problems.install(app)
    routes = Routes(pool, commit, edge, settings, Answers(metrics))
    routes.install(app)
    app.hot = ("POST", "/tasks", routes.post_task)
    app.router.routes.extend(service.ops_routes())
    announcing = asyncio.create_task(announcements.run())
    keeping = asyncio.create_task(announcements.keep_rows())
    try:
        async with ending_with(announcing), ending_with(keeping):
            yield app
            await commit.drain()
            announcements.stop()
            await announcing
    finally:
        await cancelled(announcing)
        await cancelled(keeping)
        await publisher.close()


async def run_api(service: Service) -> None:
    """Serve until told to stop; then finish what was taken.

    The broker is not a condition of readiness: submissions are safe in the outbox without it.
    """
    pool = await database_when_current(service, reserve=True, keeps_plans=True)
    if pool is None:
        return
    settings = service.settings
    async with application(service, pool) as app:  # noqa: SIM117 - the server ends first
        async with serving(
            app, settings.api_host, settings.api_port, protocol=BoundedHttpProtocol
        ) as port:
            spare_the_collector()
            service.readiness.set("start", met=True)
            log.info("ready", port=port)
            await service.stopping.wait()
            service.readiness.set("drain", met=False)
            await service.await_last_scrape()
    await close_pool(pool)
