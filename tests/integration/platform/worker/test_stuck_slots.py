"""A worker whose slots are all held by threads past their limit does what it can, and says so."""

from __future__ import annotations

import threading
from typing import Any

from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....factories import handler
from ..processes import running_relay, running_worker, until, until_sample, until_state
from .steps import sent


async def test_what_needs_no_slot_runs_and_readiness_tells_wk16(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"worker_concurrency": 1})
    release = threading.Event()

    def hang(_: Any) -> None:
        release.wait(60)

    hanging = handler("hang", hang, lane=Lane.THREAD, timeout_s=0.2)
    try:
        async with running_relay(settings, pool), running_worker(settings, pool, hanging) as worker:
            hung = await sent(settings, pool, task_type="hang", max_retries=0)
            await until_state(pool, hung, "FAILED")
            await until_sample(worker, "worker_threads_stuck", 1)

            async def is_waiting() -> bool:
                return worker.readiness.waiting_for == {"slots"}

            await until(is_waiting)
            inline = await sent(settings, pool, 3, task_type="sum")
            await until_state(pool, inline, "SUCCEEDED")
            release.set()

            async def is_ready() -> bool:
                return worker.readiness.is_ready()

            await until(is_ready)
            needs_one = await sent(settings, pool, task_type="sleep", payload={"seconds": 0})
            await until_state(pool, needs_one, "SUCCEEDED")
    finally:
        release.set()
