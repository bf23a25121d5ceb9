"""One running platform for the end-to-end tests: real processes, disturbed and then checked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiormq
import asyncpg
import httpx
import pytest
from task_lab.errors import MissingPrograms
from task_lab.runtime.base import Endpoints, Runtime
from task_lab.runtime.native import NativeRuntime

SHORT_TIMES = {
    "TASK_PLATFORM_LEASE_S": "2",
    "TASK_PLATFORM_RENEW_S": "0.5",
    "TASK_PLATFORM_REAPER_INTERVAL_S": "0.2",
    "TASK_PLATFORM_RETRY_BASE_S": "0.1",
    "TASK_PLATFORM_REANNOUNCE_AGE_S": "1",
    "TASK_PLATFORM_REANNOUNCE_EVERY_S": "1",
    "TASK_PLATFORM_DRAIN_GRACE_S": "5",
}


@dataclass(frozen=True)
class Platform:
    """The platform as a client and an operator see it."""

    runtime: Runtime
    endpoints: Endpoints

    async def submit(self, count: int, task_type: str, payload: Any, **fields: Any) -> list[str]:
        """Submit through batches; returns the ids of the accepted tasks (all must be)."""
        body = {"task_type": task_type, "payload": payload, **fields}
        ids: list[str] = []
        async with httpx.AsyncClient(base_url=self.endpoints.api_url, timeout=30) as client:
            while len(ids) < count:
                chunk = [body] * min(500, count - len(ids))
                answer = await client.post("/tasks/batch", json={"tasks": chunk})
                items = answer.raise_for_status().json()["items"]
                assert {item["status"] for item in items} == {201}
                ids += [item["task"]["id"] for item in items]
        return ids

    async def rows(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Ask the ledger."""
        connection = await asyncpg.connect(self.endpoints.database_url)
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    async def until_terminal(self, ids: Sequence[str], *, within_s: float) -> dict[str, int]:
        """Wait until every task is terminal; returns how many ended in which state."""
        counts: dict[str, int] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    rows = await self.rows(
                        "select state, count(*) from tasks where id = any($1::text[]::uuid[])"
                        " group by state",
                        list(ids),
                    )
                    counts = {row["state"]: row["count"] for row in rows}
                    if not counts.keys() & {"QUEUED", "PROCESSING"}:
                        return counts
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"still not all terminal after {within_s} s: {counts}")

    async def queue_ready(self, queue: str) -> int:
        """Messages ready in a queue."""
        async with aiormq.connect(self.endpoints.amqp_url) as connection:
            channel = await connection.channel()
            return (await channel.queue_declare(queue, passive=True)).message_count or 0

    async def until_outbox_empty(self, *, within_s: float) -> None:
        """Wait until every committed task has been announced."""
        async with asyncio.timeout(within_s):
            while await self.rows("select 1 from outbox limit 1"):
                await asyncio.sleep(0.05)

    async def counter(self, name: str) -> float:
        """The sum of a counter over all running workers and labels, read from them directly."""
        total = 0.0
        async with httpx.AsyncClient() as client:
            for replica in self.runtime.replicas():
                text = (await client.get(f"{replica.ops_url}/metrics")).text
                total += sum(
                    float(line.rsplit(" ", 1)[1])
                    for line in text.splitlines()
                    if line.startswith(f"{name}{{") or line.startswith(f"{name} ")
                )
        return total


@pytest.fixture(scope="module")
def platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform with three workers and short times, shared by the tests of a module.

    A module's own `SETTINGS` come on top.
    """
    settings = SHORT_TIMES | getattr(request.module, "SETTINGS", {})
    runtime = NativeRuntime(tmp_path_factory.mktemp("e2e"))
    try:
        endpoints = runtime.up(workers=3, settings=settings)
    except MissingPrograms as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with runtime:
        yield Platform(runtime, endpoints)
