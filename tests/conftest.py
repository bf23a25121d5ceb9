"""Real services for every test that asks: one set of servers, a database and a vhost per test."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from task_lab.errors import MissingPrograms
from task_lab.runtime.servers import NativeServers
from task_platform.settings import Settings
from task_platform.storage.migrate import migrate
from task_platform.storage.pool import Pool, open_pool

TEMPLATE = "template_task_platform"


def pytest_collection_finish() -> None:
    """What is loaded by now lives to the end: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeServers]:
    """Postgres and RabbitMQ of this test session alone."""
    servers = NativeServers(tmp_path_factory.mktemp("servers"), programs={"postgres", "rabbitmq"})
    try:
        servers.start()
    except MissingPrograms as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def migrated_template(servers: NativeServers) -> str:
    """The name of a migrated, empty database, to be copied."""

    asyncio.run(migrate(servers.create_database(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database_url(servers: NativeServers, migrated_template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    yield servers.create_database(name, template=migrated_template)
    servers.drop_database(name)


@pytest.fixture
def amqp_url(servers: NativeServers) -> Iterator[str]:
    """A vhost of this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    yield servers.create_vhost(name)
    servers.delete_vhost(name)


@pytest.fixture
def settings(database_url: str, amqp_url: str) -> Settings:
    """Settings with short times, on this test's database and vhost."""
    return Settings(
        database_url=database_url,
        amqp_url=amqp_url,
        ops_port=0,
        api_port=0,
        lease_s=2,
        renew_s=0.5,
        reaper_interval_s=0.2,
        retry_base_s=0.05,
        retry_cap_s=1,
        outbox_grace_s=1,
        reannounce_age_s=1,
        reannounce_every_s=1,
        drain_grace_s=2,
        final_scrape_wait_s=0,
    )


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """An open pool on this test's database."""
    pool = await open_pool(settings, process="test")
    yield pool
    await pool.close()
