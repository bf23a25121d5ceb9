"""The API process: database, publisher, application; drain in the reverse order."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog
from fastapi import FastAPI

from task_platform.api import problems
from task_platform.api.group_commit import Announcements, GroupCommit
from task_platform.api.routes import Routes
from task_platform.api.schemas import Edge
from task_platform.broker.publisher import Publisher
from task_platform.handlers.registry import HandlerRegistry
from task_platform.metrics import ApiMetrics
from task_platform.service import Service, database_when_current, serving
from task_platform.storage.pool import Pool

log = structlog.get_logger()

DESCRIPTION = (
    "Submit tasks and follow them. A task answered with 201 is committed: it will reach a terminal "
    "state whatever happens to the broker or the workers."
)


def make_app(service: Service, pool: Pool, commit: GroupCommit, metrics: ApiMetrics) -> FastAPI:
    """The ASGI application over an open pool."""
    app = FastAPI(title="Task Platform", version="0.1.0", description=DESCRIPTION)
    problems.install(app)
    edge = Edge(HandlerRegistry.load(service.settings.handlers))
    Routes(pool, commit, edge, service.settings, metrics).install(app)
    app.router.routes.extend(service.ops_routes())
    return app


async def run_api(service: Service) -> None:
    """Serve until told to stop; then finish what was taken, commits before announcements.

    The broker is not a condition of readiness: submissions are safe in the outbox without it.
    """
    pool = await database_when_current(service)
    if pool is None:
        return
    settings = service.settings
    metrics = ApiMetrics(service.registry)
    publisher = Publisher(settings, name="api")
    announcements = Announcements(pool, publisher, settings, metrics)
    commit = GroupCommit(pool, settings, metrics, announcements)
    announcing = asyncio.create_task(announcements.run())
    app = make_app(service, pool, commit, metrics)
    async with serving(app, settings.api_host, settings.api_port) as port:
        service.readiness.set("start", met=True)
        log.info("ready", port=port)
        await service.stopping.wait()
        service.readiness.set("drain", met=False)
        await service.await_last_scrape()
    await commit.drain()
    announcing.cancel()
    with suppress(asyncio.CancelledError):
        await announcing
    await announcements.drain()
    await publisher.close()
    await pool.close()
