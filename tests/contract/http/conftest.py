"""The API in this process, on a real database and a real broker."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.api.app import application
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, open_pool

from .wire import HastyProtocol, Wire, api_processes, port_of, served, wired


@dataclass(frozen=True)
class Api:
    """The API as a client sees it, and what stands behind it."""

    client: httpx.AsyncClient
    pool: Pool
    service: Service

    async def post(self, body: Any, key: str | None = None, path: str = "/tasks") -> httpx.Response:
        """Submit; body: a JSON value, or bytes to be sent as they are."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=headers)


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    """An API that announces what it commits."""
    service = Service("api", settings)
    service.readiness.set("start", met=True)
    pool = await open_pool(settings, process="api")
    try:
        async with application(service, pool) as app:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                yield Api(client, pool, service)
    finally:
        pool.terminate()


@pytest.fixture(scope="session")
def shared_services(servers: NativeServers, migrated_template: str) -> Iterator[dict[str, str]]:
    """One database and one vhost for all these tests: they look at their own tasks only."""
    name = f"http_{secrets.token_hex(4)}"
    yield {
        "database_url": servers.create_database(name, template=migrated_template),
        "amqp_url": servers.create_vhost(name),
    }
    servers.drop_database(name)
    servers.delete_vhost(name)


@pytest.fixture
def settings(shared_services: dict[str, str]) -> Settings:
    """Settings with the smallest limits that are allowed."""
    return Settings(
        database_url=shared_services["database_url"],
        amqp_url=shared_services["amqp_url"],
        max_body_bytes=10_000,
        max_batch_body_bytes=100_000,
        outbox_grace_s=0.5,
        publish_timeout_s=1,
        submit_timeout_s=3,
        database_timeout_s=2,
    )


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """An API with everything it needs."""
    async with running_api(settings) as api:
        yield api


@pytest.fixture(scope="module")
def port(
    servers: NativeServers,
    shared_services: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[int]:
    """The port of an API process."""
    settings = Settings.model_validate(shared_services)
    with api_processes(servers, settings, 1, tmp_path_factory.mktemp("api")) as (process,):
        yield port_of(process)


@pytest.fixture
async def wire(port: int) -> AsyncIterator[Wire]:
    """A connection to the API."""
    async with wired(port) as wire:
        yield wire


@pytest.fixture
async def hasty(settings: Settings) -> AsyncIterator[Wire]:
    """A connection to an API of little patience."""
    async with served(settings, HastyProtocol) as port, wired(port) as wire:
        yield wire
