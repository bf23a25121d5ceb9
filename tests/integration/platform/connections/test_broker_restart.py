"""The broker restarted under load: all consume again, nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
from time import monotonic
from uuid import UUID

import pytest
from task_lab.runtime.process import run_boots
from task_lab.runtime.servers import NativeServers, started
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import rows, sample, until_messages, until_state
from .whole import running_whole

WORKERS = 3


@pytest.mark.parametrize("queue_type", ["quorum", pytest.param("classic", marks=pytest.mark.slow)])
async def test_a_restarted_broker_has_its_consumers_back_and_long_work_runs_once_br01_br05_br09(
    settings: Settings, pool: Pool, servers: NativeServers, queue_type: str
) -> None:
    rabbitmq = started(servers.rabbitmq)
    settings = settings.model_copy(update={"queue_type": queue_type})
    async with running_whole(settings, pool, workers=WORKERS) as whole:
        await whole.until_consumers(WORKERS)
        # Longer than the outage: the delivery comes again while the first one is still at work.
        long = {"task_type": "effect", "payload": {"seconds": 16}}
        effects = [UUID(task_id) for task_id in await whole.accepted(6, long)]
        await until_state(pool, effects, "PROCESSING")
        loading = asyncio.create_task(
            whole.accepted(300, {"task_type": "sleep", "payload": {"seconds": 0.2}})
        )
        await asyncio.to_thread(rabbitmq.stop)
        try:
            before = monotonic()
            answers = await asyncio.gather(*(whole.post() for _ in range(50)))
            assert {answer.status_code for answer in answers} == {201}
            assert monotonic() - before < 10
        finally:
            await asyncio.to_thread(run_boots, rabbitmq.boot())
        healed = monotonic()
        ten = [UUID(task_id) for task_id in await whole.accepted(10)]
        # Three times the promise, on a machine that does other things.
        await until_state(pool, ten, "SUCCEEDED", within_s=45)
        await whole.until_consumers(WORKERS, within_s=45)
        assert monotonic() - healed < 45
        again = [sample(w, "worker_deliveries_unclaimable_total") for w in whole.workers]
        assert sum(again) >= len(effects), "they came again while they were at work"
        await loading
        await whole.until_all_succeeded(within_s=60)
        for row in await rows(pool, effects):
            assert (row["attempts"], row["fence"]) == (1, 1)
        log = await pool.fetch("select task_id, kind from effect_log")
        assert sorted((row["task_id"], row["kind"]) for row in log) == sorted(
            (task_id, kind) for task_id in effects for kind in ("started", "guarded")
        )
        for worker in whole.workers:
            assert sample(worker, "worker_consumer_lost_total", reason="closed") >= 1
            assert worker.readiness.is_ready()
        await until_messages(settings, 0)
