"""A worker whose slots are all held by threads past their limit does what it can, and says so."""

from __future__ import annotations

from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import until, until_state
from .steps import sent, stuck_thread


async def test_what_needs_no_slot_runs_and_readiness_tells_wk16(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"worker_concurrency": 1})
    async with stuck_thread(settings, pool) as (worker, release):

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
