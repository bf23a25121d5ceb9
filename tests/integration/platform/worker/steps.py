"""What tests of workers do again and again."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from task_platform.handlers.registry import Lane
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....factories import handler
from ..processes import (
    announce,
    running_relay,
    running_worker,
    submit,
    until_messages,
    until_sample,
    until_state,
)


async def sent(settings: Settings, pool: Pool, count: int = 1, **fields: Any) -> list[UUID]:
    """Tasks that are committed and on the queue, their outbox row left alone."""
    ids = await submit(pool, count, grace_s=3_600, **fields)
    await announce(settings, ids)
    return ids


@asynccontextmanager
async def stuck_thread(
    settings: Settings, pool: Pool
) -> AsyncIterator[tuple[Service, threading.Event]]:
    """A worker, one thread of which is past its limit until the event is set; and a relay."""
    release = threading.Event()

    def hang(_: Any) -> None:
        release.wait(60)

    hanging = handler("hang", hang, lane=Lane.THREAD, timeout_s=0.2)
    try:
        async with running_relay(settings, pool), running_worker(settings, pool, hanging) as worker:
            hung = await sent(settings, pool, task_type="hang", max_retries=0)
            await until_state(pool, hung, "FAILED")
            await until_sample(worker, "worker_threads_stuck", 1)
            yield worker, release
    finally:
        release.set()


async def nothing_left(settings: Settings, pool: Pool) -> None:
    """After a drain no message, claim or running task is left behind."""
    await until_messages(settings, 0)
    assert await pool.fetchval("select count(*) from claims") == 0
    assert await pool.fetchval("select count(*) from tasks where state = 'PROCESSING'") == 0
