"""Postgres restarted under load: requests in flight are refused, no task is lost or run anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import pytest
from task_lab.runtime.process import run_boots
from task_lab.runtime.servers import NativeServers, started
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, drop_idle

from ..processes import rows, until, until_messages, until_state
from .whole import SUM, Whole, running_whole

CLIENTS = 4


@dataclass
class Load:
    """What clients saw who repeat each key until it is accepted."""

    statuses: Counter[int] = field(default_factory=Counter)
    ids: dict[str, UUID] = field(default_factory=dict)

    async def until_more(self, tasks: int) -> None:
        """Return once so many more tasks have been accepted."""
        wanted = len(self.ids) + tasks

        async def are_there() -> bool:
            return len(self.ids) >= wanted

        await until(are_there, within_s=45)


@asynccontextmanager
async def loading(whole: Whole) -> AsyncIterator[Load]:
    """Clients that submit one task after the other; at the end each key has its answer."""
    load, over, numbers = Load(), asyncio.Event(), count()

    async def submit_on() -> None:
        while not over.is_set():
            key = f"key-{next(numbers)}"
            while key not in load.ids:
                answer = await whole.http.post("/tasks", json=SUM, headers={"Idempotency-Key": key})
                load.statuses[answer.status_code] += 1
                if answer.is_success:
                    load.ids[key] = UUID(answer.json()["id"])
                else:
                    await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(submit_on())
        try:
            yield load
        finally:
            over.set()


@pytest.mark.parametrize("immediate", [False, True], ids=["in order", "as in a crash"])
async def test_a_restarted_database_refuses_a_few_requests_and_costs_no_task_db01(
    settings: Settings, pool: Pool, servers: NativeServers, immediate: bool
) -> None:
    postgres = started(servers.postgres)
    # What runs meanwhile keeps its lease: it must not run a second time.
    settings = settings.model_copy(update={"lease_s": 30, "renew_s": 1})
    async with running_whole(settings, pool, workers=2) as whole:
        # Longer than the outage: one that ended in the middle of it would be tried again.
        running = [
            UUID(task_id)
            for task_id in await whole.accepted(
                6, {"task_type": "effect", "payload": {"seconds": 6}}
            )
        ]
        await until_state(pool, running, "PROCESSING")
        async with loading(whole) as load:
            await load.until_more(50)
            assert set(load.statuses) == {201}
            await asyncio.to_thread(postgres.stop, immediate=immediate)
            try:
                refused = await whole.post()
                assert refused.status_code == 503, refused.text
                await until(lambda: _is_waiting_for_database(whole), within_s=15)
            finally:
                await asyncio.to_thread(run_boots, postgres.boot())
            await load.until_more(200)
            await until(lambda: _is_ready(whole), within_s=45)
            load.statuses.clear()
            await load.until_more(100)
            # Nothing is left of it: no connection of any pool is dead.
            assert set(load.statuses) <= {200, 201}
        drop_idle(pool)
        await whole.until_all_succeeded(within_s=45)
        # What was told "503" is absent, or is the task that the same key then found.
        accepted = await pool.fetch("select id from tasks where id <> all($1)", running)
        assert sorted(row["id"] for row in accepted) == sorted(load.ids.values())
        for row in await rows(pool, running):
            assert (row["attempts"], row["fence"]) == (1, 1)
        effects = await pool.fetch("select task_id from effect_log where kind = 'guarded'")
        assert sorted(row["task_id"] for row in effects) == sorted(running)
        await until_messages(settings, 0)


async def _is_waiting_for_database(whole: Whole) -> bool:
    services = [whole.api, whole.relay, *whole.workers]
    return all("database" in one.readiness.waiting_for for one in services)


async def _is_ready(whole: Whole) -> bool:
    return all(one.readiness.is_ready() for one in [whole.api, whole.relay, *whole.workers])
