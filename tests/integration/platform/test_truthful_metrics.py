"""What the processes' metrics tell is what has happened: nothing is missing, invented or frozen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from secrets import token_hex

import httpx
import pytest
from task_platform.metrics import WorkerMetrics
from task_platform.relay import census, reannounce, retention
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .connections.whole import process, running_whole
from .exposed import Exposed, exposed, scraped, total
from .processes import (
    BUILT_IN,
    messages_in,
    running_relay,
    running_worker,
    sample,
    submit,
    until,
    until_messages,
    until_sample,
    until_state,
)

SUCCEEDED = "worker_tasks_processed_total"
LEDGER = "relay_ledger_finished_tasks_total"
HOUR_S = 3_600.0


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The census looks twenty times a second."""
    monkeypatch.setattr(census, "EVERY_S", 0.05)
    monkeypatch.setattr(census, "_DUTY", 0.5)


async def until_ledger(relay: Service, count: int, state: str = "succeeded") -> None:
    """Return once the relay has counted so many terminal tasks."""

    async def are_counted() -> bool:
        return exposed(relay).sum(LEDGER, state=state) == count

    await until(are_counted)


async def until_counted(relay: Service) -> None:
    """Return once the relay has counted at all."""

    async def has_counted() -> bool:
        return exposed(relay).has(LEDGER)

    await until(has_counted)


async def test_the_sum_over_five_workers_is_what_they_did_together_obs03(
    settings: Settings, pool: Pool
) -> None:
    ids = await submit(pool, 500, task_type="sleep", payload={"seconds": 0.03})
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient())
        workers = [await stack.enter_async_context(process(settings, "worker")) for _ in range(5)]
        await asyncio.gather(*(worker.until_ready(within_s=30) for worker in workers))
        await stack.enter_async_context(running_relay(settings, pool))

        async def scrape() -> list[Exposed]:
            return list(await asyncio.gather(*(scraped(client, one.url) for one in workers)))

        async def are_counted() -> bool:
            counted = total(await scrape(), SUCCEEDED)
            assert counted <= len(ids)
            return counted == len(ids)

        await until(are_counted, within_s=30)
        targets = await scrape()
    for target in targets:
        assert target.sum("service_ready") == 1
        assert target.sum("service_info", service="worker") == 1
        assert target.sum("worker_slots") == settings.worker_concurrency
        assert target.sum(SUCCEEDED) > 0
        assert target.sum("database_pool_wait_seconds_count") > 0
    assert total(targets, "worker_end_to_end_seconds_count") == len(ids)


async def test_no_event_makes_a_series_so_that_the_first_one_shows_obs04(
    settings: Settings, pool: Pool
) -> None:
    async with running_whole(settings, pool) as whole:
        services = (whole.api, whole.relay, whole.workers[0])
        await until_counted(whole.relay)
        before = [exposed(service) for service in services]
        failing = {"task_type": "fail", "payload": {}, "max_retries": 1}
        await whole.accepted(1, failing)
        await whole.accepted(1)
        assert (await whole.post({"task_type": 1})).status_code == 422
        await until_ledger(whole.relay, 1)
        await until_ledger(whole.relay, 1, "failed")
        await until_sample(whole.workers[0], "worker_tasks_failed_total", 1, task_type="fail")
        await until_sample(whole.relay, "relay_dead_letters_open", 1)
        after = [exposed(service) for service in services]
    for earlier, later in zip(before, after, strict=True):
        assert later.values.keys() == earlier.values.keys()
    counts = {
        ("worker_tasks_failed_total", "fail"): 1,
        ("worker_tasks_retried_total", "fail"): 1,
        (SUCCEEDED, "sum"): 1,
    }
    for (name, task_type), count in counts.items():
        increase = [total(scrape, name, task_type=task_type) for scrape in (before, after)]
        assert increase == [0, count], name
    refusals = [total(scrape, "api_tasks_refused_total") for scrape in (before, after)]
    assert refusals == [0, 1]


async def test_what_a_worker_did_that_nobody_scraped_is_in_the_ledger_obs05(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool) as relay:
        async with running_worker(settings, pool):
            await until_state(pool, await submit(pool, 30), "SUCCEEDED")
            dead = await submit(pool, 2, task_type="fail", payload={}, max_retries=0)
            await until_state(pool, dead, "FAILED")
        async with running_worker(settings, pool) as scraped_one:
            await until_state(pool, await submit(pool, 20), "SUCCEEDED")
            await until_sample(scraped_one, SUCCEEDED, 20, task_type="sum")
            counted = exposed(scraped_one)
        await until_ledger(relay, 50)
        await until_ledger(relay, 2, "failed")
        ledger = exposed(relay)
    drift = {
        "succeeded": ledger.sum(LEDGER, state="succeeded") - counted.sum(SUCCEEDED),
        "failed": ledger.sum(LEDGER, state="failed") - counted.sum("worker_tasks_failed_total"),
    }
    assert drift == {"succeeded": 30, "failed": 2}


async def test_neither_clients_nor_restarts_make_series_obs07(
    settings: Settings, pool: Pool
) -> None:
    async with running_whole(settings, pool) as whole:
        await until_counted(whole.relay)
        services = {"api": whole.api, "relay": whole.relay, "worker": whole.workers[0]}
        before = {name: exposed(service) for name, service in services.items()}
        made_up = [
            {"task_type": f"made-up-{token_hex(8)}", "payload": {}, "max_retries": 0}
            for _ in range(500)
        ]
        answer = await whole.http.post("/tasks/batch", json={"tasks": made_up})
        assert {item["status"] for item in answer.json()["items"]} == {201}
        for _ in range(20):
            keyed = {"Idempotency-Key": token_hex(8)}
            await whole.http.post("/tasks", json=made_up[0], headers=keyed)
        await until_ledger(whole.relay, 520, "failed")
        await until_sample(whole.workers[0], "worker_tasks_failed_total", 520, task_type="unknown")
        after = {name: exposed(service) for name, service in services.items()}
    for name in services:
        assert after[name].values.keys() == before[name].values.keys()
    # Prometheus adds what tells processes apart: where they are, not when they began.
    for _ in range(50):
        restarted = Service("worker", settings)
        WorkerMetrics(restarted.registry, [handler.task_type for handler in BUILT_IN])
        assert exposed(restarted).values.keys() == after["worker"].values.keys()
    # As docs/reference/metrics.md says.
    most = {"api": 100, "relay": 100, "worker": 200 + 60 * len(BUILT_IN)}
    for name, scrape in after.items():
        assert len(scrape.values) <= most[name]


async def test_a_stepped_clock_moves_no_duration_obs09(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_s = [0.0]
    true_time: Callable[[], float] = time.time
    for module in (time, reannounce, retention, census):
        monkeypatch.setattr(module, "time", lambda: true_time() + steps_s[-1])
    async with running_relay(settings, pool) as relay, running_worker(settings, pool) as worker:
        for number, step_s in enumerate((HOUR_S, -HOUR_S, 0.0), start=1):
            ids = await submit(pool, task_type="sleep", payload={"seconds": 0.3})
            await until_state(pool, ids, "PROCESSING")
            steps_s.append(step_s)
            await until_state(pool, ids, "SUCCEEDED")
            await until_sample(worker, SUCCEEDED, number, task_type="sleep")
            for name, least_s in {
                "worker_service_time_seconds": 0.3,
                "worker_queue_wait_seconds": 0.0,
                "worker_end_to_end_seconds": 0.3,
            }.items():
                sum_s = sample(worker, f"{name}_sum", task_type="sleep")
                assert number * least_s <= sum_s < number * 5, name
            await until_ledger(relay, number)
            assert sample(relay, "relay_backlog_oldest_age_seconds") == 0
            assert 0 <= sample(relay, "relay_outbox_oldest_age_seconds") < 5


async def test_what_workers_hold_is_still_backlog_obs12(settings: Settings, pool: Pool) -> None:
    held, more = 20, 15
    brisk = settings.model_copy(update={"worker_concurrency": held // 2, "drain_grace_s": 0.0})
    async with running_relay(brisk, pool) as relay, running_worker(brisk, pool) as worker:

        async def submit_slow(count: int) -> None:
            await submit(pool, count, task_type="sleep", payload={"seconds": 60})

        async def until_backlog(count: int) -> None:
            async def is_told() -> bool:
                return exposed(relay).sum("relay_backlog_tasks") == count

            await until(is_told)

        await submit_slow(held)
        await until_sample(worker, "worker_tasks_in_flight", held)
        await until_backlog(held)
        assert await messages_in(settings) == 0, "by the queue there is nothing to do"
        await submit_slow(more)
        await until_messages(settings, more)
        await until_backlog(held + more)
        told = exposed(relay)
        assert told.sum("relay_backlog_tasks", state="processing") >= held // 2
        ages = [sample(relay, "relay_backlog_oldest_age_seconds")]

        async def has_grown() -> bool:
            ages.append(sample(relay, "relay_backlog_oldest_age_seconds"))
            return ages[-1] > ages[0] + 0.5

        await until(has_grown)
        assert ages == sorted(ages)
        assert sample(worker, "worker_slots") == sample(worker, "worker_tasks_running") == held // 2
