"""Attempts that fail: how often, when again, and where they wait meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import pytest
from task_lab.runtime.servers import NativeServers
from task_platform.errors import RetryAfter
from task_platform.handlers import TaskContext
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....factories import handler
from ..processes import (
    announce,
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until,
    until_messages,
    until_sample,
    until_state,
)
from ..real_processes import started
from ..storage.steps import failures_of

DELAYS = """
create table delays (task_id uuid, delay_s float8);
create function note_delay() returns trigger language plpgsql as $$ begin
    insert into delays values (new.id, extract(epoch from new.due_at - now()));
    return null;
end $$;
create trigger note_delay after update on tasks for each row
    when (old.state = 'PROCESSING' and new.state = 'QUEUED') execute function note_delay();
"""


async def attempts_of(pool: Pool, task_id: UUID) -> list[tuple[int, str]]:
    """The attempts in the history of a task: number and outcome."""
    return [(row["attempt"], row["outcome"]) for row in await failures_of(pool, task_id)]


async def test_a_task_that_always_fails_has_so_many_starts_and_growing_gaps_rt01(
    settings: Settings, pool: Pool
) -> None:
    await pool.execute(DELAYS)
    base_s = settings.retry_base_s
    async with running_relay(settings, pool) as relay, running_worker(settings, pool) as worker:
        ids = await submit(pool, task_type="fail", payload={}, max_retries=3)
        (row,) = await until_state(pool, ids, "FAILED")
        assert (row["attempts"], row["fence"]) == (4, 4)
        await until_messages(settings, 1, queue="tasks.dlq")
        # Four deliveries and not one more: each was claimed, and one dead letter was sent.
        await until_sample(relay, "relay_announced_total", 5)
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert sample(worker, "worker_deliveries_unclaimable_total") == 0
        assert sample(worker, "worker_tasks_retried_total", task_type="fail") == 3
        await until_sample(worker, "worker_tasks_failed_total", 1, task_type="fail")
    await until_messages(settings, 0)
    assert await attempts_of(pool, ids[0]) == [
        (1, "retried"), (2, "retried"), (3, "retried"), (4, "dead"),
    ]  # fmt: skip
    delays = [row["delay_s"] for row in await pool.fetch("select delay_s from delays")]
    assert delays == sorted(delays)
    for number, delay_s in enumerate(delays):
        assert base_s * 2**number / 2 <= delay_s <= base_s * 2**number
    assert await pool.fetchval("select count(*) from dead_letters") == 1


async def test_what_fails_at_one_instant_is_not_tried_again_at_one_instant_rt02(
    settings: Settings, pool: Pool
) -> None:
    await pool.execute(DELAYS)
    settings = settings.model_copy(update={"retry_base_s": 60.0, "retry_cap_s": 300.0})
    ids = await submit(pool, 1_000, grace_s=3_600, task_type="fail", payload={}, max_retries=1)
    async with running_worker(settings, pool) as worker:
        await announce(settings, ids)
        await until_sample(worker, "worker_tasks_retried_total", 1_000, task_type="fail")
    delays = [row["delay_s"] for row in await pool.fetch("select delay_s from delays")]
    slices = Counter(int((delay_s - 30) / 3) for delay_s in delays)
    assert sorted(slices) == list(range(10))
    # Each has a tenth, give or take five standard deviations.
    assert max(slices.values()) <= 150


async def test_a_delay_that_a_handler_asks_for_is_kept_and_its_secrets_are_not_rt04(
    settings: Settings, pool: Pool
) -> None:
    await pool.execute(DELAYS)

    def ask(payload: dict[str, Any]) -> None:
        raise RetryAfter(payload["seconds"], "password=hunter2, come back later")

    def leak(_: Any) -> None:
        raise type("token=hunter2", (Exception,), {})("amqp://app:hunter2@broker/ refused")

    made = [handler("ask", ask), handler("leak", leak)]
    settings = settings.model_copy(update={"retry_base_s": 10.0, "retry_cap_s": 100.0})
    wishes = {20.5: 20.5, -1: None, "soon": None, 0: 5.0, 1e300: 100.0}
    tasks = {}
    for wish in wishes:
        (tasks[wish],) = await submit(
            pool, grace_s=3_600, task_type="ask", payload={"seconds": wish}
        )
    leaking = await submit(pool, grace_s=3_600, task_type="leak")
    ids = [*tasks.values(), *leaking]
    async with running_worker(settings, pool, *made) as worker:
        await announce(settings, ids)
        await until_sample(worker, "worker_tasks_retried_total", 5, task_type="ask")
        await until_sample(worker, "worker_tasks_retried_total", 1, task_type="leak")
    for wish, delay_s in wishes.items():
        kept = await pool.fetchval("select delay_s from delays where task_id = $1", tasks[wish])
        message = (await error_of(pool, tasks[wish]))["message"]
        if delay_s is None:
            assert 5 <= kept <= 10
            assert "the usual back-off applies" in message
        else:
            assert kept == pytest.approx(delay_s)
            assert message == "password=***, come back later"
    history = await pool.fetch("select error_type, message from attempt_failures")
    assert len(history) == 6
    kept_texts = json.dumps([list(row) for row in history]) + json.dumps(
        [row["error"] for row in await rows(pool, ids)]
    )
    assert "***" in kept_texts
    assert "hunter2" not in kept_texts


async def error_of(pool: Pool, task_id: UUID) -> dict[str, str]:
    """The error of a task, as clients see it."""
    found: dict[str, str] = json.loads((await rows(pool, [task_id]))[0]["error"])
    return found


async def test_an_unknown_type_is_dead_lettered_with_its_reason_rt11(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool):
        ids = await submit(pool, task_type="not-deployed-yet", max_retries=1)
        await until_state(pool, ids, "FAILED")
        await until_messages(settings, 1, queue="tasks.dlq")
    assert await attempts_of(pool, ids[0]) == [(1, "retried"), (2, "dead")]
    assert await pool.fetchval("select reason from dead_letters") == "UnknownTaskType"
    assert (await error_of(pool, ids[0]))["type"] == "UnknownTaskType"


async def test_attempts_are_counted_in_the_row_whatever_the_broker_says_rt08(
    settings: Settings, pool: Pool, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type})
    seen: list[int] = []

    async def work(_: Any, context: TaskContext) -> None:
        # More messages of this very task, as a redelivery would bring: none is an attempt.
        await announce(settings, [context.task_id] * 3)
        seen.append(context.attempt)
        raise RuntimeError("told to")

    made = handler("work", work, lane=Lane.LOOP, takes_context=True)
    async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
        ids = await submit(pool, task_type="work", max_retries=2)
        (row,) = await until_state(pool, ids, "FAILED")
        await until_sample(worker, "worker_tasks_in_flight", 0)
        await until_messages(settings, 0)
    assert seen == [1, 2, 3]
    assert (row["attempts"], row["fence"]) == (3, 3)
    assert [number for number, _ in await attempts_of(pool, ids[0])] == [1, 2, 3]


# Where they wait.


def ctl(servers: NativeServers, *arguments: str) -> str:
    """What rabbitmqctl says."""
    assert servers.rabbitmq is not None
    return servers.rabbitmq.ctl(*arguments)


def in_queue(servers: NativeServers, settings: Settings) -> tuple[int, int]:
    """What the broker holds of `tasks`: ready, and delivered without an acknowledgement."""
    vhost = urlsplit(settings.amqp_url.get_secret_value()).path.removeprefix("/")
    listing = ctl(
        servers, "list_queues", "-p", vhost, "name", "messages_ready", "messages_unacknowledged",
        "--no-table-headers",
    )  # fmt: skip
    (line,) = [line.split() for line in listing.splitlines() if line.startswith("tasks\t")]
    return int(line[1]), int(line[2])


async def until_broker_holds_nothing(servers: NativeServers, settings: Settings) -> None:
    """Return once no message of a task is in the broker, nor in a worker's hands."""

    async def is_empty() -> bool:
        return await asyncio.to_thread(in_queue, servers, settings) == (0, 0)

    await until(is_empty, within_s=15)


def asking_for(seconds: float) -> Any:
    """A handler that wants to be tried again once, after so long."""

    async def ask(_: Any, context: TaskContext) -> int:
        if context.attempt == 1:
            raise RetryAfter(seconds)
        return context.attempt

    return handler("ask", ask, lane=Lane.LOOP, takes_context=True)


async def test_a_retry_waits_in_the_database_and_not_in_the_broker_rt07(
    servers: NativeServers, settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"retry_cap_s": 3_600.0})
    made = asking_for(3_600)
    async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
        ids = await submit(pool, task_type="ask")
        await until_sample(worker, "worker_tasks_retried_total", 1, task_type="ask")
        await until_broker_holds_nothing(servers, settings)
        await until_sample(worker, "worker_tasks_in_flight", 0)
        (row,) = await rows(pool, ids)
        assert row["state"] == "QUEUED"
        assert row["due_at"] - row["created_at"] > timedelta(minutes=59)
        # The hour is over.
        await pool.execute("update tasks set due_at = now()")
        await pool.execute("update outbox set due_at = now(), available_at = now()")
        (row,) = await until_state(pool, ids, "SUCCEEDED")
        assert (row["fence"], row["attempts"]) == (2, 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_retry_far_beyond_the_acknowledgement_timeout_runs_once_rt07(
    servers: NativeServers, settings: Settings, pool: Pool
) -> None:
    # The broker looks for deliveries that are overdue once a minute.
    delay_s = 130.0
    settings = settings.model_copy(update={"retry_cap_s": 600.0})
    async with acknowledgement_timeout(servers, seconds=10):
        made = asking_for(delay_s)
        async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
            ids = await submit(pool, task_type="ask")
            (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=delay_s + 30)
            late = row["started_at"] - row["created_at"] - timedelta(seconds=delay_s)
            assert timedelta(0) <= late < timedelta(seconds=10)
            assert (row["fence"], row["attempts"]) == (2, 2)
            assert sample(worker, "worker_consumer_starts_total") == 1


@asynccontextmanager
async def acknowledgement_timeout(servers: NativeServers, *, seconds: int) -> AsyncIterator[None]:
    """The broker closes channels whose deliveries are not acknowledged within this time."""
    ask = 'io:format("~p", [application:get_env(rabbit, consumer_timeout, undefined)]).'
    before = ctl(servers, "eval", ask).split()[0].removesuffix("ok")
    _set_timeout(servers, str(1_000 * seconds))
    try:
        yield
    finally:
        _set_timeout(servers, before.removeprefix("{ok,").removesuffix("}"))


def _set_timeout(servers: NativeServers, value: str) -> None:
    ctl(servers, "eval", f"application:set_env(rabbit, consumer_timeout, {value}).")


async def insert_due_later(pool: Pool, count: int) -> None:
    """So many tasks that are due in an hour, each with its message in the outbox."""
    await pool.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, due_at)"
        " select gen_random_uuid(), 'default', 'sum', '{\"numbers\":[1]}', 3,"
        " now() + interval '1 hour' from generate_series(1, $1::int)",
        count,
    )
    await pool.execute(
        "insert into outbox (queue, task_ids, due_at, available_at)"
        " select 'tasks', array[id], due_at, due_at from tasks"
    )


async def test_thousands_that_are_due_later_hold_nobody_back_rt06(
    settings: Settings, pool: Pool
) -> None:
    await insert_due_later(pool, 5_000)
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        await _ten_start_at_once(pool)
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert sample(worker, "worker_deliveries_unclaimable_total") == 0
        assert sample(worker, "worker_claim_batch_size_sum") == 10
    await until_messages(settings, 0)
    assert await pool.fetchval("select count(*) from tasks where fence = 0") == 5_000
    assert await pool.fetchval("select count(*) from outbox") == 5_000


async def _ten_start_at_once(pool: Pool) -> None:
    ids = await submit(pool, 10)
    for row in await until_state(pool, ids, "SUCCEEDED"):
        assert row["started_at"] - row["created_at"] < timedelta(seconds=3)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_hundred_thousand_that_are_due_later_take_no_memory_rt06(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    async with running_relay(settings, pool), started(settings, "worker", tmp_path) as process:
        await _ten_start_at_once(pool)
        worker = psutil.Process(process.pid)
        before = worker.memory_info().rss
        await insert_due_later(pool, 100_000)
        for _ in range(10):
            await _ten_start_at_once(pool)
            await asyncio.sleep(1)
        after = worker.memory_info().rss
        assert after < 256_000_000
        assert after - before < 16_000_000, (before, after)
    await until_messages(settings, 0)
    assert await pool.fetchval("select count(*) from tasks where fence = 0") == 100_000
