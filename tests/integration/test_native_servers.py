"""The real servers: private, durable, usable at once, and gone without a trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import aiormq
import asyncpg
import httpx
import psutil
import pytest
from task_lab.errors import DataFolderUnusable, PortInUse, ProgramFailed, UsageError
from task_lab.runtime.base import Endpoints
from task_lab.runtime.instance import MARK
from task_lab.runtime.process import run_boots, until
from task_lab.runtime.servers import NativeServers

# Where the programs are missing, the session's servers skip the test, or fail it in CI.
pytestmark = pytest.mark.usefixtures("servers")

PROGRAMS = {"postgres", "beam.smp", "epmd", "redis-server", "prometheus"}

LAB = """
import sys, time
from pathlib import Path
from task_lab.runtime.servers import NativeServers

servers = NativeServers(Path(sys.argv[1]))
servers.start()
print(servers.instance.folder, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeServers]:
    with NativeServers(tmp_path_factory.mktemp("own")) as own:
        yield own


def processes_of(folder: Path) -> list[psutil.Process]:
    """The running processes that carry the instance's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_every_process_carries_the_mark_it_is_found_by(own: NativeServers) -> None:
    names = {process.name() for process in processes_of(own.instance.folder)}
    assert names >= PROGRAMS


def test_all_servers_listen_on_loopback_only(own: NativeServers) -> None:
    owners = [*processes_of(own.instance.folder)]
    addresses = {
        connection.laddr.ip
        for process in owners
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert addresses <= {"127.0.0.1", "::1"}


def test_passwords_are_in_no_log_no_argument_and_no_readable_file(own: NativeServers) -> None:
    endpoints = own.endpoints()
    secrets = [
        httpx.URL(endpoints.database_url).password,
        httpx.URL(endpoints.amqp_url).password,
    ]
    assert all(len(secret) == 32 for secret in secrets)
    texts = [" ".join(process.cmdline()) for process in processes_of(own.instance.folder)]
    texts += [log.read_text() for log in own.logs.iterdir()]
    texts += [repr(endpoints)]
    assert (own.instance.folder / "rabbitmq" / "rabbitmq.conf").stat().st_mode & 0o777 == 0o600
    assert not [text for text in texts for secret in secrets if secret in text]


async def test_commits_are_durable(own: NativeServers) -> None:
    connection = await asyncpg.connect(own.endpoints().database_url)
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval(f"show {setting}") == "on"
    finally:
        await connection.close()


async def test_a_database_needs_the_password(own: NativeServers) -> None:
    url = httpx.URL(own.endpoints().database_url)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(str(url.copy_with(password="wrong")))


async def test_a_database_can_be_copied_from_a_template(own: NativeServers) -> None:
    original = await asyncpg.connect(own.create_database("original"))
    await original.execute("create table marker as select 7 as value")
    await original.close()
    copy = await asyncpg.connect(own.create_database("copy", template="original"))
    assert await copy.fetchval("select value from marker") == 7
    own.drop_database("copy")  # although somebody is connected
    with pytest.raises((asyncpg.PostgresError, ConnectionError, asyncpg.InterfaceError)):
        await copy.fetchval("select 1")
    copy.terminate()
    own.drop_database("copy")


def test_a_failed_statement_is_an_error_with_the_servers_words(own: NativeServers) -> None:
    own.create_database("twice")
    with pytest.raises(ProgramFailed, match='database "twice" already exists'):
        own.create_database("twice")


async def test_virtual_hosts_keep_their_queues_apart(own: NativeServers) -> None:
    urls = [own.create_vhost(name) for name in ("left", "right/with slash")]
    connections = [await aiormq.connect(url) for url in urls]
    channel = await connections[0].channel()
    await channel.queue_declare("only-left", durable=True)
    other = await connections[1].channel()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await other.queue_declare("only-left", passive=True)
    for connection in connections:
        await connection.close()
    own.delete_vhost("left")
    own.delete_vhost("left")


async def test_a_quorum_queue_shows_in_the_metrics_within_two_intervals(
    own: NativeServers,
) -> None:
    connection = await aiormq.connect(own.create_vhost("metrics"))
    channel = await connection.channel()
    await channel.queue_declare("depth", durable=True, arguments={"x-queue-type": "quorum"})
    for _ in range(3):
        await channel.basic_publish(b"", routing_key="depth")
    wanted = 'rabbitmq_queue_messages_ready{vhost="metrics",queue="depth"} 3'
    url = own.endpoints().rabbitmq_metrics_url
    run_boots(until(lambda: wanted in httpx.get(url).text, what=wanted, deadline_s=2.5))
    await connection.close()


def test_prometheus_scrapes_the_broker(own: NativeServers) -> None:
    url = own.endpoints().prometheus_url

    def is_up() -> bool:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": 'up{job="rabbitmq"}'}).json()
        return [series["value"][1] for series in answer["data"]["result"]] == ["1"]

    run_boots(until(is_up, what="the broker as an up target", deadline_s=15))


async def test_redis_answers(own: NativeServers) -> None:
    port = httpx.URL(own.endpoints().redis_url).port
    assert port
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(7) == b"+PONG\r\n"


async def test_a_restarted_broker_keeps_its_messages_and_its_address(
    own: NativeServers,
) -> None:
    url = own.create_vhost("restart")
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    await channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
    await channel.basic_publish(b"kept", routing_key="kept")
    await connection.close()
    broker = own.rabbitmq
    assert broker
    broker.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", broker.port))
    run_boots(broker.boot())
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    assert (await channel.basic_get("kept")).body == b"kept"
    await connection.close()


def test_servers_that_were_not_asked_for_are_not_started(tmp_path: Path) -> None:
    with NativeServers(tmp_path, programs={"redis"}) as servers:
        named = {
            field.name: getattr(servers.endpoints(), field.name) for field in fields(Endpoints)
        }
        assert [name for name, url in named.items() if url] == ["redis_url"]
        with pytest.raises(UsageError):
            servers.create_vhost("x")
        with pytest.raises(UsageError):
            servers.start()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_nothing_is_left_of_a_killed_lab(tmp_path: Path, number: signal.Signals) -> None:
    lab = subprocess.Popen(
        [sys.executable, "-c", LAB, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert lab.stdout
    folder = Path(lab.stdout.readline().strip())
    processes = [
        *processes_of(folder),
        *(child for process in processes_of(folder) for child in process.children(recursive=True)),
    ]
    assert {process.name() for process in processes} >= PROGRAMS
    lab.send_signal(number)
    lab.communicate(timeout=30)
    run_boots(until(lambda: not folder.exists(), what="removal of the data", deadline_s=20))
    run_boots(until(lambda: all(map(is_gone, processes)), what="end of all", deadline_s=20))


def test_stopping_leaves_no_process_no_data_and_only_logs(tmp_path: Path) -> None:
    servers = NativeServers(tmp_path, programs={"postgres", "redis"})
    servers.start()
    folder, processes = servers.instance.folder, processes_of(servers.instance.folder)
    assert len(processes) >= 2
    servers.stop()
    servers.stop()
    assert all(map(is_gone, processes))
    assert not folder.exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "logs",
        "postgres.log",
        "redis.log",
    ]


def test_a_fixed_port_in_use_stops_everything_before_it_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        servers = NativeServers(tmp_path, ports={"prometheus": port})
        with pytest.raises(PortInUse) as caught:
            servers.start()
    assert caught.value.needed_by == "prometheus"
    assert list(tmp_path.iterdir()) == []


def test_a_port_lost_at_the_last_moment_is_told_from_the_servers_own_log(tmp_path: Path) -> None:
    servers = NativeServers(tmp_path, programs={"postgres", "redis"})
    boots = servers.prepare()
    assert servers.postgres
    folder = servers.instance.folder
    with socket.create_server(("127.0.0.1", servers.postgres.port)):
        with pytest.raises(ProgramFailed, match="Address already in use") as caught:
            run_boots(*boots.values())
        servers.stop()
    assert caught.value.program == "postgres"
    assert caught.value.log == tmp_path / "logs" / "postgres.log"
    assert processes_of(folder) == []
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_a_data_root_closed_to_the_database_user_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    servers = NativeServers(tmp_path, programs={"postgres"}, data_root=tmp_path)
    with pytest.raises(DataFolderUnusable, match="has no way there") as caught:
        servers.start()
    assert caught.value.folder == tmp_path
    assert [path for path in tmp_path.iterdir() if path.name != "logs"] == []
