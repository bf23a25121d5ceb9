"""Servers that are away: without the broker submissions are safe, without Postgres refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from time import monotonic
from uuid import uuid4

import httpx
import pytest
from task_platform.settings import Settings
from task_platform.storage import pool as pool_module
from task_platform.storage.pool import Pool

from ...link import linked_broker, linked_database
from .conftest import Api, running_api
from .problems import problem_of

SUM = {"task_type": "sum", "payload": {"numbers": [1]}}
BATCH = {"tasks": [SUM, SUM | {"idempotency_key": "outage"}]}
UNREACHABLE = "amqp://guest:guest@127.0.0.1:1/"


async def test_the_broker_away_does_not_fail_a_submission_br05(settings: Settings) -> None:
    settings = settings.model_copy(
        update={"amqp_url": Settings(amqp_url=UNREACHABLE).amqp_url, "outbox_grace_s": 60}
    )
    async with running_api(settings) as api:
        started = monotonic()
        answers = await asyncio.gather(*(api.post(SUM) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {201}
        # Whoever waited for the broker would have waited for a publish to time out.
        assert monotonic() - started < settings.publish_timeout_s
        ids = {answer.json()["id"] for answer in answers}
        waiting = await api.pool.fetch("select unnest(task_ids)::text as id from outbox")
        assert ids <= {row["id"] for row in waiting}


async def test_a_broker_that_says_nothing_does_not_fail_a_submission_ob06(
    settings: Settings,
) -> None:
    async with linked_broker(settings) as (link, changed), running_api(changed) as api:
        assert (await api.post(SUM)).status_code == 201
        link.freeze()
        started = monotonic()
        answers = await asyncio.gather(*(api.post(SUM) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {201}
        assert monotonic() - started < 2


async def test_postgres_away_is_503_and_comes_back_by_itself_db01(settings: Settings) -> None:
    async with linked_database(settings) as (link, changed), running_api(changed) as api:
        task = await api.post(SUM, "db01")
        assert task.status_code in (200, 201)
        await link.cut()
        started = monotonic()
        batch = {"tasks": [SUM]}
        problem_of(await api.post(SUM), 503, "unavailable")
        problem_of(await api.post(SUM, "db01-b"), 503, "unavailable")
        problem_of(await api.post(batch, path="/tasks/batch"), 503, "unavailable")
        problem_of(await api.client.get(task.headers["location"]), 503, "unavailable")
        problem_of(await api.client.get("/tasks"), 503, "unavailable")
        assert monotonic() - started < 5
        await link.heal()
        assert (await api.post(SUM, "db01-b")).status_code == 201
        assert (await api.client.get(task.headers["location"])).status_code == 200


async def test_postgres_that_says_nothing_is_503_in_time_db04(settings: Settings) -> None:
    hurried = {"submit_timeout_s": 0.5, "database_timeout_s": 1.0}
    async with (
        linked_database(settings, **hurried) as (link, changed),
        running_api(changed) as api,
    ):
        assert (await api.post(SUM)).status_code == 201
        link.freeze()
        started = monotonic()
        answers = await asyncio.gather(*(api.post(SUM) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert monotonic() - started < 2
        for answer in await asyncio.gather(*(ask(api) for ask in ENDPOINTS.values())):
            problem_of(answer, 503, answer.json()["type"].rpartition(":")[2])
        assert monotonic() - started < 10
        await link.cut()
        await link.heal()
        async with asyncio.timeout(10):
            while (await api.post(SUM)).status_code != 201:
                await asyncio.sleep(0.05)


async def test_too_many_waiting_are_refused_and_the_others_committed(settings: Settings) -> None:
    settings = settings.model_copy(update={"commit_backlog": 10, "commit_concurrency": 1})
    async with running_api(settings) as api:
        answers = await asyncio.gather(*(api.post(SUM) for _ in range(100)))
        accepted = [answer for answer in answers if answer.status_code == 201]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert accepted
        assert refused
        for answer in refused:
            problem_of(answer, 503, "overloaded")
        assert (await api.post(SUM)).status_code == 201


Ask = Callable[[Api], Awaitable[httpx.Response]]
ENDPOINTS: dict[str, Ask] = {
    "post": lambda api: api.post(SUM),
    "post with a key": lambda api: api.post(SUM, secrets.token_hex(8)),
    "batch": lambda api: api.post(BATCH, path="/tasks/batch"),
    "get": lambda api: api.client.get(f"/tasks/{uuid4()}"),
    "list": lambda api: api.client.get("/tasks", params={"limit": 1}),
}


@pytest.mark.parametrize("ask", ENDPOINTS.values(), ids=ENDPOINTS.keys())
async def test_more_at_once_than_connections_are_all_answered_db04(
    settings: Settings, ask: Ask
) -> None:
    # Waiting is what this is about, however long the machine makes it.
    patient = {"database_pool_size": 2, "database_timeout_s": 30.0, "submit_timeout_s": 30.0}
    async with running_api(settings.model_copy(update=patient)) as api:
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(ask(api) for _ in range(200)))
        assert {answer.status_code for answer in answers} <= {200, 201, 404}


@pytest.mark.parametrize("ask", ENDPOINTS.values(), ids=ENDPOINTS.keys())
async def test_a_database_that_is_stuck_is_503_for_all_who_wait_db04_db05(
    settings: Settings, pool: Pool, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "POOL_WAIT_S", 1.0)
    hurried = {"database_pool_size": 2, "database_timeout_s": 1.0, "submit_timeout_s": 1.0}
    async with running_api(settings.model_copy(update=hurried)) as api:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table tasks in access exclusive mode")
            async with asyncio.timeout(12):
                answers = await asyncio.gather(*(ask(api) for _ in range(30)))
            for answer in answers:
                problem_of(answer, 503, answer.json()["type"].rpartition(":")[2])
        async with asyncio.timeout(10):
            while (await ask(api)).status_code == 503:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(ask(api) for _ in range(30)))
        assert {answer.status_code for answer in answers} <= {200, 201, 404}


async def test_postgres_stopped_is_503_everywhere_and_nothing_was_taken_idm09_db01(
    settings: Settings,
) -> None:
    async with linked_database(settings) as (link, changed), running_api(changed) as api:
        key = secrets.token_hex(8)
        await link.cut()
        started = monotonic()
        asked = [ask(api) for ask in ENDPOINTS.values() for _ in range(20)]
        for answer in await asyncio.gather(*asked, api.post(SUM, key)):
            problem_of(answer, 503, answer.json()["type"].rpartition(":")[2])
        assert monotonic() - started < 10
        await link.heal()
        assert (await api.post(SUM, key)).status_code == 201
