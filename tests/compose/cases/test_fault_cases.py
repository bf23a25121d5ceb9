"""Containers that are killed, crash, or lose their network; cases of lab-cases.md."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import httpx
import pytest
from task_lab.collect.memory import memory_document
from task_lab.runtime.broker_probe import consumer_count
from task_lab.runtime.compose.ends import End
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.scraping import reached

from ...engine import COMPOSE
from .conftest import Stack, wait_until

pytestmark = COMPOSE

BIG_BYTES = 128 * 2**20
ANSWER_S = 60.0


def ends_of(stack: Stack, container: str) -> list[End]:
    return [end for end in stack.runtime.project.ends() if end.container == container]


def scraped(stack: Stack) -> Callable[[], bool]:
    """Whether Prometheus reaches all of the platform's processes, each by its name."""
    names = {"api", "relay", *(replica.name for replica in stack.runtime.replicas())}
    return lambda: reached(stack.endpoints.prometheus_url) == dict.fromkeys(names, True)


def ready_status(url: str) -> int:
    return httpx.get(f"{url}/readyz", timeout=10).status_code


async def works(stack: Stack) -> None:
    """A task sent now succeeds."""
    ids = await stack.submit(1, "sum", {"numbers": [1, 2]})
    assert await stack.until_terminal(ids, within_s=20) == {"SUCCEEDED": 1}


async def test_c9_a_killed_worker_does_not_return_and_the_record_says_so(stack: Stack) -> None:
    container = stack.workers(2)[1].id
    victim = stack.runtime.replicas()[1]
    stack.runtime.kill_worker(victim)
    wait_until(lambda: bool(ends_of(stack, container)), "the engine to tell of the end")
    # Longer than the restart policy's first pauses.
    await asyncio.sleep(1)
    (end,) = ends_of(stack, container)
    assert (end.name, end.signal, end.exit_code, end.returned_at) == (victim.name, 9, 137, None)
    assert len(stack.runtime.replicas()) == 1
    assert stack.runtime.scale(2)[1].name != victim.name
    (end,) = ends_of(stack, container)
    assert str(end).endswith("did not return")


async def test_c9_a_crashed_worker_returns_and_the_record_says_when(stack: Stack) -> None:
    container = stack.workers(2)[1].id
    victim = stack.runtime.replicas()[1]
    returned = stack.runtime.crash_worker(victim)
    assert returned == stack.runtime.replicas()[1]
    assert (returned.name, returned.pid != victim.pid) == (victim.name, True)
    assert httpx.get(f"{returned.ops_url}/readyz").status_code == 200
    wait_until(lambda: bool(ends_of(stack, container)), "the engine to tell of the end")
    (end,) = ends_of(stack, container)
    assert (end.signal, end.exit_code) == (None, 137)
    assert end.returned_at
    assert 0 < end.returned_at - end.ended_at < 5
    wait_until(scraped(stack), "Prometheus to reach it again")
    stack.runtime.logs_dir()
    kept = (stack.runtime.logs_dir() / "ends.json").read_text()
    assert f'"returned_at": {end.returned_at}' in kept


def test_c10_the_page_cache_of_a_file_is_not_memory_of_its_reader(stack: Stack) -> None:
    big = stack.shared / "big"
    with big.open("wb") as file:
        file.write(b"\0" * BIG_BYTES)
        os.fsync(file.fileno())
        # Whoever reads it first is charged with it, and that must not be this process.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    worker = stack.workers(2)[0]

    def memory() -> tuple[int, int]:
        document = memory_document(stack.runtime.memory_stats(), at=0)
        assert {one["cgroup"] for one in document["containers"]} < {1, 2}
        (one,) = [one for one in document["containers"] if one["name"] == worker.name]
        return one["held_bytes"], one["raw"]["usage"]

    held, charged = memory()
    docker("exec", worker.id, "cat", "/shared/big", deadline_s=ANSWER_S)
    held_after, charged_after = memory()
    assert charged_after - charged > BIG_BYTES // 2
    assert abs(held_after - held) < BIG_BYTES // 8
    big.unlink()


async def test_a_worker_off_the_network_is_seen_to_be_gone_and_comes_back(stack: Stack) -> None:
    class Boom(Exception):
        pass

    amqp_url = stack.endpoints.amqp_url
    stack.workers(2)
    with pytest.raises(Boom), stack.runtime.network_cut("worker") as containers:
        assert len(containers) == 2
        wait_until(lambda: consumer_count(amqp_url, "tasks") == 0, "the consumers to vanish")
        raise Boom
    wait_until(lambda: consumer_count(amqp_url, "tasks") == 2, "the consumers to come back")
    wait_until(scraped(stack), "Prometheus to reach them again")
    await works(stack)


async def test_a_broker_off_the_network_is_missed_and_found_again(stack: Stack) -> None:
    amqp_url = stack.endpoints.amqp_url
    stack.workers(2)
    workers = [replica.ops_url for replica in stack.runtime.replicas()]
    with stack.runtime.network_cut("rabbitmq"):
        wait_until(lambda: {*map(ready_status, workers)} == {503}, "the workers to miss the broker")
        assert consumer_count(amqp_url, "tasks") is None
        # A submission needs the database alone.
        assert ready_status(stack.endpoints.api_url) == 200
        ids = await stack.submit(1, "sum", {"numbers": [1, 2]})
    wait_until(lambda: {*map(ready_status, workers)} == {200}, "the workers to find it again")
    assert consumer_count(amqp_url, "tasks") == 2
    assert await stack.until_terminal(ids, within_s=20) == {"SUCCEEDED": 1}


async def test_an_api_without_its_database_is_not_ready_and_finds_it_by_its_name(
    stack: Stack,
) -> None:
    with stack.runtime.network_cut("postgres"):
        wait_until(lambda: ready_status(stack.endpoints.api_url) == 503, "the API to miss it")
    wait_until(lambda: ready_status(stack.endpoints.api_url) == 200, "the API to find it again")
    # The broker would do with its host name; the database has none of its own.
    found = ("getent", "hosts", "postgres")
    answer = docker("exec", stack.the("api").id, *found, deadline_s=ANSWER_S)
    assert answer.split()[0] == stack.the("postgres").address
    await works(stack)
