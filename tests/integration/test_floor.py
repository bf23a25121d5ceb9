"""The floor does the same durable work, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path

import aiormq
import asyncpg
import pytest
from task_lab import floor_loops
from task_lab.errors import ProgramFailed
from task_lab.floor import code_hash, measure_floor
from task_lab.runtime.base import Endpoints
from task_lab.runtime.servers import NativeServers


@pytest.fixture
def endpoints(servers: NativeServers) -> Endpoints:
    return servers.endpoints()


async def run_step(endpoints: Endpoints, step: str, tasks: int) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "task_lab.floor_loops", step, str(tasks)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ
        | {
            "FLOOR_DATABASE_URL": endpoints.database_url,
            "FLOOR_AMQP_URL": endpoints.amqp_url,
        },
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def depth(endpoints: Endpoints) -> int | None:
    """Messages ready in the floor's queue; None when there is no such queue."""
    connection = await aiormq.connect(endpoints.amqp_url)
    try:
        channel = await connection.channel()
        return (await channel.queue_declare(floor_loops.QUEUE, passive=True)).message_count
    except aiormq.exceptions.ChannelNotFoundEntity:
        return None
    finally:
        await connection.close()


async def query(endpoints: Endpoints, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(endpoints.database_url)
    try:
        return [tuple(row.values()) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_every_task_is_committed_announced_run_and_acknowledged(
    endpoints: Endpoints,
) -> None:
    tasks = 601  # neither a multiple of the lanes nor of the batches
    count_by_state = "select state, count(*) from task_lab_floor.tasks group by state"
    await run_step(endpoints, "prepare", 0)
    await run_step(endpoints, "submit", tasks)
    assert await query(endpoints, count_by_state) == [("QUEUED", tasks)]
    assert await query(endpoints, "select count(*) from task_lab_floor.outbox") == [(0,)]
    assert await depth(endpoints) == tasks

    times = json.loads((await run_step(endpoints, "drain", tasks)).splitlines()[-1])
    assert 0 < times["begun_at"] < times["ended_at"]
    outcome = "select distinct state, attempts, result ->> 'sum' from task_lab_floor.tasks"
    assert await query(endpoints, outcome) == [("SUCCEEDED", 1, "15")]
    assert await query(endpoints, count_by_state) == [("SUCCEEDED", tasks)]
    assert await depth(endpoints) == 0
    await run_step(endpoints, "remove", 0)


async def test_it_reports_three_rates_and_removes_what_it_made(endpoints: Endpoints) -> None:
    floor = measure_floor(endpoints, tasks=500)  # although an event loop runs in this thread
    rates = dataclasses.asdict(floor)
    assert rates.pop("code_hash") == code_hash()
    assert all(rate > 100 for rate in rates.values())
    schemas = "select 1 from pg_namespace where nspname = 'task_lab_floor'"
    assert await query(endpoints, schemas) == []
    assert await depth(endpoints) is None


async def test_leftovers_of_an_interrupted_floor_do_not_count(endpoints: Endpoints) -> None:
    await run_step(endpoints, "prepare", 0)
    await run_step(endpoints, "submit", 250)
    await run_step(endpoints, "prepare", 0)
    assert await depth(endpoints) == 0
    assert await query(endpoints, "select count(*) from task_lab_floor.tasks") == [(0,)]
    await run_step(endpoints, "remove", 0)


def test_the_hash_is_of_the_recipes_whole_text() -> None:
    text = Path(floor_loops.__file__).read_bytes()
    assert code_hash() == hashlib.sha256(text).hexdigest()[:16]


def test_a_server_that_cannot_be_reached_is_an_error_with_its_words(endpoints: Endpoints) -> None:
    nowhere = dataclasses.replace(endpoints, database_url="postgresql://x@127.0.0.1:1/x")
    with pytest.raises(ProgramFailed, match="Connect") as caught:
        measure_floor(nowhere, tasks=10)
    assert caught.value.program == "floor: prepare"
