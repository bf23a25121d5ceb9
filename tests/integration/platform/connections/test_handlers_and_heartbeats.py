"""Handlers that keep a core busy for longer than the broker waits for a heartbeat."""

from __future__ import annotations

import time
from typing import Any

import pytest
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....factories import handler
from ..processes import (
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until_messages,
    until_sample,
    until_state,
)

HEARTBEAT_S = 1
SPIN_S = 3.5 * HEARTBEAT_S


def spin(_: Any) -> str:
    """Keep a core busy, in Python."""
    end = time.monotonic() + SPIN_S
    while time.monotonic() < end:
        pass
    return "done"


@pytest.fixture
def settings(settings: Settings, queue_type: str) -> Settings:
    changes = {"broker_heartbeat_s": HEARTBEAT_S, "queue_type": queue_type}
    return settings.model_copy(update=changes)


@pytest.mark.parametrize("task_type", ["spin", "cpu"], ids=["thread", "process"])
async def test_busy_work_beside_the_loop_keeps_the_link_br14(
    settings: Settings, pool: Pool, task_type: str
) -> None:
    busy = handler("spin", spin, lane=Lane.THREAD)
    payload = {"seconds": SPIN_S}
    async with running_relay(settings, pool), running_worker(settings, pool, busy) as worker:
        ids = await submit(pool, 2, task_type=task_type, payload=payload, max_retries=0)
        for row in await until_state(pool, ids, "SUCCEEDED", within_s=40):
            assert (row["attempts"], row["fence"]) == (1, 1)
        assert sample(worker, "worker_consumer_starts_total") == 1
    await until_messages(settings, 0)


async def test_work_on_the_loop_may_lose_the_link_and_no_task_br14(
    settings: Settings, pool: Pool
) -> None:
    """`inline` is for what takes no time. Where it does, its worker is deaf, and taken for dead.

    The lease outlives the link here: what comes again finds the task at work and is dropped.
    """
    settings = settings.model_copy(update={"lease_s": 30.0})
    busy = handler("spin", spin, lane=Lane.INLINE)
    async with running_relay(settings, pool), running_worker(settings, pool, busy) as worker:
        ids = await submit(pool, 1, task_type="spin", max_retries=0)
        more = await submit(pool, 20)
        for row in await until_state(pool, ids + more, "SUCCEEDED", within_s=40):
            assert (row["attempts"], row["fence"]) == (1, 1)
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await until_messages(settings, 0)


async def test_work_on_the_loop_that_outlives_its_lease_does_not_end_twice_br14(
    settings: Settings, pool: Pool
) -> None:
    """Another worker runs it again; the first one comes too late, and only one result counts."""
    calls = []

    def slow_once(_: Any) -> str:
        calls.append(time.monotonic())
        if len(calls) == 1:
            time.sleep(SPIN_S)
            return "first"
        return "second"

    busy = handler("slow", slow_once, lane=Lane.INLINE)
    settings = settings.model_copy(update={"lease_s": 1.0, "renew_s": 0.4})
    async with running_relay(settings, pool), running_worker(settings, pool, busy) as worker:
        ids = await submit(pool, 1, task_type="slow", max_retries=3)
        (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=40)
        # In one process even the reaper is deaf meanwhile, so that the first may still be in time.
        expected = {1: '"first"', 2: '"second"'}
        assert row["result"] == expected[row["fence"]]
        assert len(calls) == row["fence"]
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert (await rows(pool, ids))[0]["result"] == row["result"]
