"""Links that fall silent without breaking: noticed in bounded time, left behind, replaced."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from os import dup
from time import monotonic
from typing import Any

import pytest
import uvloop
from pydantic import SecretStr
from task_platform.broker import client, publisher
from task_platform.broker.publisher import Publisher
from task_platform.errors import BrokerUnavailable, DatabaseUnavailable
from task_platform.relay.probe import QueueProbe
from task_platform.settings import Settings
from task_platform.storage.health import DatabaseProbe
from task_platform.storage.outbox import oldest_unsent_age_s
from task_platform.storage.pool import Pool, close_pool, open_pool
from task_platform.worker import consumer

from ....factories import some_ids
from ....link import Link, linked_broker, linked_database
from ..processes import announce, running_worker, submit, until, until_sample, until_state
from .whole import running_whole

LONG = {"task_type": "sleep", "payload": {"seconds": 60}}


@pytest.fixture
async def broker_link(settings: Settings) -> AsyncIterator[tuple[Link, Settings]]:
    async with linked_broker(settings) as linked:
        yield linked


@pytest.fixture
async def database_link(settings: Settings) -> AsyncIterator[tuple[Link, Settings]]:
    async with linked_database(settings, database_timeout_s=0.5) as linked:
        yield linked


async def test_a_silent_database_connection_is_thrown_away_and_replaced_db01(
    database_link: tuple[Link, Settings],
) -> None:
    link, settings = database_link
    pool = await open_pool(settings, process="test")
    await oldest_unsent_age_s(pool)
    link.strand()
    started = monotonic()
    with pytest.raises(DatabaseUnavailable, match="Timeout"):
        await oldest_unsent_age_s(pool)
    # The statement's time, the second after it, and no wait for a cancel or a rollback.
    assert monotonic() - started < 3
    started = monotonic()
    assert await oldest_unsent_age_s(pool) == 0
    assert monotonic() - started < 1
    await close_pool(pool)


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_its_connection_kept_db01(
    settings: Settings,
) -> None:
    pool = await open_pool(settings.model_copy(update={"database_timeout_s": 0.2}), process="test")
    backend = await pool.fetchval("select pg_backend_pid()")
    with pytest.raises(Exception, match="statement timeout"):
        await pool.execute("select pg_sleep(30)")
    assert await pool.fetchval("select pg_backend_pid()") == backend
    await close_pool(pool)


async def test_a_pool_over_a_silent_link_is_closed_in_time(
    database_link: tuple[Link, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("task_platform.storage.pool.CLOSE_TIMEOUT_S", 0.5)
    link, settings = database_link
    pool = await open_pool(settings, process="test")
    await pool.acquire()
    link.freeze()
    started = monotonic()
    await close_pool(pool)
    assert monotonic() - started < 2
    assert pool.get_size() == 0


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_kernel_watches_over_every_database_connection(
    settings: Settings, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def look() -> None:
        pool = await open_pool(settings, process="test")
        async with pool.acquire() as connection:
            link = getattr(connection, "_transport").get_extra_info("socket")  # noqa: B009
            with socket.socket(fileno=dup(link.fileno())) as own:
                assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                idle = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                every = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
                tries = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
                assert idle + every * tries < 15
                assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < 15_000
            assert await connection.fetchval("show tcp_keepalives_idle") == str(idle)
        await pool.close()

    run(look())


async def test_the_probe_of_the_database_answers_in_time_and_comes_back(
    database_link: tuple[Link, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("task_platform.storage.health.ANSWER_TIMEOUT_S", 0.5)
    link, settings = database_link
    probe = DatabaseProbe(settings, process="test")
    await probe.ask()
    link.strand()
    started = monotonic()
    with pytest.raises(DatabaseUnavailable):
        await probe.ask()
    assert monotonic() - started < 1.5
    await probe.ask()
    link.freeze()
    with pytest.raises(DatabaseUnavailable):
        await probe.ask()
    probe.close()


async def test_a_handshake_that_is_never_answered_is_given_up(
    broker_link: tuple[Link, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.3)
    link, settings = broker_link
    link.freeze()
    started = monotonic()
    with pytest.raises(BrokerUnavailable, match="no answer"):
        await client.connect(settings, name="test")
    assert monotonic() - started < 1
    with pytest.raises(BrokerUnavailable, match="no answer"):
        tls = settings.amqp_url.get_secret_value().replace("amqp:", "amqps:")
        await client.connect(settings.model_copy(update={"amqp_url": SecretStr(tls)}), name="test")
    assert monotonic() - started < 2


async def test_a_silent_broker_is_left_after_two_and_a_half_heartbeats(
    broker_link: tuple[Link, Settings],
) -> None:
    link, settings = broker_link
    connection = await client.connect(
        settings.model_copy(update={"broker_heartbeat_s": 1}), name="test"
    )
    link.strand()
    started = monotonic()

    async def is_closed() -> bool:
        return connection.is_closed

    await until(is_closed, within_s=10)
    assert monotonic() - started > 2
    default = Settings().broker_heartbeat_s
    # The driver's rule: so many heartbeats and one second each without a frame, looked at every
    # half a heartbeat.
    grace_s = (default + 1) * client._Connection.HEARTBEAT_GRACE_MULTIPLIER
    assert grace_s + default / 2 < 15


async def test_an_idle_publisher_notices_a_silent_link_br06(
    broker_link: tuple[Link, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(publisher, "PROBE_AFTER_S", 0.0)
    link, settings = broker_link
    sender = Publisher(settings, name="test")
    assert await sender.probe()
    link.strand()
    assert not await sender.probe()

    async def works_again() -> bool:
        return await sender.probe()

    await until(works_again)
    ids = some_ids(3)
    assert await sender.publish("tasks", ids) == set(ids)
    await sender.close()


async def test_the_relays_probe_of_the_queue_comes_back(
    broker_link: tuple[Link, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.5)
    link, settings = broker_link
    probe = QueueProbe(settings, name="test")
    await probe.depth("tasks")
    link.strand()
    with pytest.raises(BrokerUnavailable):
        await probe.depth("tasks")
    assert (await probe.depth("tasks")).ready == 0
    await probe.close()


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that looks at its link as often as a test can wait for."""
    monkeypatch.setattr(consumer, "WATCH_EVERY_S", 0.1)
    monkeypatch.setattr(consumer, "PROBE_AFTER_S", 0.3)
    monkeypatch.setattr(consumer, "PROBE_TIMEOUT_S", 0.5)


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize(("queue_type", "held"), [("quorum", 0), ("classic", 30)])
async def test_a_worker_leaves_a_silent_broker_br01(
    broker_link: tuple[Link, Settings], pool: Pool, queue_type: str, held: int
) -> None:
    # A worker that holds as much as it may is sent nothing anyway: that must not hide the silence.
    link, over = broker_link
    # The broker finds out by its heartbeat, and only then has back what it sent into silence.
    over = over.model_copy(
        update={"queue_type": queue_type, "drain_grace_s": 0.1, "broker_heartbeat_s": 1}
    )
    async with running_worker(over, pool) as worker:
        await announce(over, await submit(pool, held, grace_s=60, **LONG))
        await until_sample(worker, "worker_tasks_in_flight", min(held, 20))
        link.strand()
        await until_sample(worker, "worker_consumer_lost_total", 1, reason="silent", within_s=5)
        await until_sample(worker, "worker_consumer_starts_total", 2, within_s=5)
        if not held:
            ids = await submit(pool, grace_s=60)
            await announce(over, ids)
            await until_state(pool, ids, "SUCCEEDED")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["strand", "freeze"])
async def test_everything_goes_on_within_15_s_of_silence_br01_db01_ob06(
    settings: Settings, pool: Pool, how: str
) -> None:
    """With the times that hold in production, on every connection at once."""
    production = Settings()
    settings = settings.model_copy(
        update={
            name: getattr(production, name)
            for name in ("lease_s", "renew_s", "reaper_interval_s", "outbox_grace_s")
        }
    )
    async with running_whole(settings, pool, workers=2) as whole:
        await whole.accepted(50)
        await whole.until_all_succeeded()
        getattr(whole.database, how)()
        getattr(whole.broker, how)()
        submitting = [asyncio.create_task(whole.accepted(1)) for _ in range(20)]
        if how == "freeze":
            # Long enough for everybody to have given up what was connected.
            await asyncio.wait(submitting, timeout=20)
            await whole.database.heal()
            await whole.broker.heal()
        healed = monotonic()
        await asyncio.gather(*submitting)
        await whole.accepted(50)
        await whole.until_all_succeeded(within_s=45)
        await whole.until_consumers(2)
        # The promise is 15 s; three times that is what a busy machine is allowed.
        assert monotonic() - healed < 45
