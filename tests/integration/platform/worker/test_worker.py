"""A worker on real services: claim, run, finish, acknowledge, whatever happens in between."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from task_platform import wire
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, open_pool
from task_platform.storage.submissions import submit_tasks
from task_platform.worker import intake

from ....factories import handler, new_task, some_ids
from ....link import linked_database
from ..processes import (
    announce,
    delete_queue,
    rows,
    running_relay,
    running_worker,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_sample,
    until_state,
)
from .steps import nothing_left, sent


async def test_tasks_are_run_recorded_and_acknowledged(settings: Settings, pool: Pool) -> None:
    sums = await sent(settings, pool, 200, payload={"numbers": [1, 2, 3, 4, 5]})
    sleeps = await sent(settings, pool, 20, task_type="sleep", payload={"seconds": 0.01})
    async with running_worker(settings, pool) as worker:
        done = await until_state(pool, sums + sleeps, "SUCCEEDED")
        assert {row["result"] for row in done} == {'{"sum":15}', '{"slept_s":0.01}'}
        for row in done:
            assert (row["attempts"], row["fence"]) == (1, 1)
            assert row["created_at"] <= row["started_at"] <= row["finished_at"]
        await until_sample(worker, "worker_tasks_in_flight", 0)
        await until_sample(worker, "worker_tasks_processed_total", 200, task_type="sum")
        await until_sample(worker, "worker_service_time_seconds_count", 20, task_type="sleep")
        await until_sample(worker, "worker_end_to_end_seconds_count", 200, task_type="sum")
    await nothing_left(settings, pool)


async def test_an_unknown_type_has_three_attempts_and_one_dead_letter(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        ids = await submit(pool, task_type="nope", payload={"x": 1}, max_retries=2)
        (row,) = await until_state(pool, ids, "FAILED")
        assert (row["attempts"], row["fence"]) == (3, 3)
        await until_sample(worker, "worker_tasks_failed_total", 1, task_type="unknown")
        assert sample(worker, "worker_tasks_retried_total", task_type="unknown") == 2
        await until_messages(settings, 1, queue="tasks.dlq")
    starts = await pool.fetch("select started_at from attempt_failures order by fence")
    gaps = [(b[0] - a[0]).total_seconds() for a, b in pairwise(starts)]
    assert gaps[0] >= settings.retry_base_s / 2
    assert gaps[1] >= settings.retry_base_s


async def test_a_task_announced_three_times_runs_once(settings: Settings, pool: Pool) -> None:
    ids = await sent(settings, pool, 5)
    for _ in range(2):
        await announce(settings, ids)
    async with running_worker(settings, pool) as worker:
        done = await until_state(pool, ids, "SUCCEEDED")
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert {row["fence"] for row in done} == {1}
        await announce(settings, ids)
        await until(lambda: _unclaimable(worker, 15))
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)


async def _unclaimable(worker: Any, least: int) -> bool:
    return sample(worker, "worker_deliveries_unclaimable_total") >= least


async def test_a_hanging_task_does_not_hold_back_others_wk16(
    settings: Settings, pool: Pool
) -> None:
    hanging = await sent(settings, pool, task_type="sleep", payload={"seconds": 60})
    good = await sent(settings, pool, 50, task_type="sleep", payload={"seconds": 0.001})
    async with running_worker(settings, pool):
        await until_state(pool, good, "SUCCEEDED")
        assert (await rows(pool, hanging))[0]["state"] == "PROCESSING"


async def test_a_stuck_thread_does_not_time_out_others_wk16(settings: Settings, pool: Pool) -> None:
    release = threading.Event()
    settings = settings.model_copy(update={"worker_concurrency": 2})

    def work(payload: Any) -> Any:
        return release.wait(20) if payload == "stuck" else payload

    made = handler("mixed", work, lane=Lane.THREAD, timeout_s=0.3)
    stuck = await sent(settings, pool, task_type="mixed", payload="stuck", max_retries=0)
    async with running_worker(settings, pool, made) as worker:
        await until_state(pool, stuck, "FAILED")
        await until_sample(worker, "worker_threads_stuck", 1)
        good = await sent(settings, pool, 20, task_type="mixed", payload=1, max_retries=0)
        await until_state(pool, good, "SUCCEEDED")
        release.set()
        await until_sample(worker, "worker_threads_stuck", 0)


async def test_a_hanging_process_harms_nobody_else_wk16(settings: Settings, pool: Pool) -> None:
    settings = settings.model_copy(update={"worker_concurrency": 2})
    made = handler("spin", time.sleep, lane=Lane.PROCESS, timeout_s=3.0)
    hanging = await sent(settings, pool, task_type="spin", payload=60, max_retries=0)
    good = await sent(settings, pool, 20, task_type="spin", payload=0, max_retries=0)
    async with running_worker(settings, pool, made):
        await until_state(pool, good, "SUCCEEDED", within_s=20)
        (row,) = await until_state(pool, hanging, "FAILED", within_s=20)
        assert "TaskTimeout" in row["error"]


async def test_a_thread_whose_task_was_taken_away_keeps_its_slot_wk16(
    settings: Settings, pool: Pool
) -> None:
    release = threading.Event()
    settings = settings.model_copy(update={"worker_concurrency": 2})

    def work(payload: Any) -> Any:
        return release.wait(20) if payload == "stuck" else payload

    made = handler("mixed", work, lane=Lane.THREAD, timeout_s=None)
    quick = handler("quick", work, lane=Lane.THREAD, timeout_s=0.5)
    stuck = await sent(settings, pool, task_type="mixed", payload="stuck")
    async with running_worker(settings, pool, made, quick) as worker:
        await until_state(pool, stuck, "PROCESSING")
        await pool.execute("delete from claims")
        await until_sample(worker, "worker_threads_stuck", 1)
        good = await sent(settings, pool, 10, task_type="quick", payload=1, max_retries=0)
        await until_state(pool, good, "SUCCEEDED")
        release.set()
        await until_sample(worker, "worker_threads_stuck", 0)


async def test_a_drain_finishes_what_runs_and_gives_the_rest_back_wk08_wk09(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"worker_concurrency": 2, "drain_grace_s": 1.0})
    short = await sent(settings, pool, task_type="sleep", payload={"seconds": 0.5}, max_retries=0)
    long = await sent(settings, pool, task_type="sleep", payload={"seconds": 60}, max_retries=0)
    waiting = await sent(
        settings, pool, 8, task_type="sleep", payload={"seconds": 0}, max_retries=0
    )
    async with running_worker(settings, pool):
        await until_state(pool, short + long, "PROCESSING")
    assert {row["state"] for row in await rows(pool, short)} == {"SUCCEEDED"}
    for row in await rows(pool, long + waiting):
        assert (row["state"], row["attempts"], row["isolate"]) == ("QUEUED", 0, False)
    assert await pool.fetchval("select count(*) from claims") == 0
    assert await pool.fetchval("select count(*) from attempt_failures") == 0
    await pool.execute("update outbox set available_at = now()")
    quick = settings.model_copy(update={"drain_grace_s": 0.0})
    async with running_relay(quick, pool), running_worker(quick, pool):
        await until_state(pool, waiting, "SUCCEEDED")


async def test_a_lost_lease_stops_the_work_and_frees_its_delivery(
    settings: Settings, pool: Pool
) -> None:
    stopped = asyncio.Event()
    runs: list[int] = []

    async def first_hangs(_: Any) -> int:
        runs.append(1)
        if len(runs) > 1:
            return len(runs)
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        return 0

    made = handler("hang", first_hangs, lane=Lane.LOOP)
    ids = await sent(settings, pool, task_type="hang")
    async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
        await until_state(pool, ids, "PROCESSING")
        # Another owner, so that this worker cannot renew it first.
        await pool.execute("update claims set owner = 'x', expires_at = now() - interval '1 s'")
        async with asyncio.timeout(5):
            await stopped.wait()
        (row,) = await until_state(pool, ids, "SUCCEEDED")
        assert (row["fence"], row["attempts"], row["result"]) == (2, 1, "2")
        await until_sample(worker, "worker_tasks_in_flight", 0)
        await until_sample(worker, "worker_leases_lost_total", 1)
    await nothing_left(settings, pool)


async def test_a_task_that_used_up_its_workers_is_failed_without_a_start_wk02(
    settings: Settings, pool: Pool
) -> None:
    ids = await submit(pool, grace_s=3_600, task_type="crash", max_retries=1)
    await pool.execute("update tasks set attempts = 2, fence = 2, isolate = true")
    await announce(settings, ids)
    async with running_worker(settings, pool) as worker:
        (row,) = await until_state(pool, ids, "FAILED")
        assert "WorkerLost" in row["error"]
        assert row["attempts"] == 2
        await until_sample(worker, "worker_tasks_failed_total", 1, task_type="crash")
    assert await pool.fetchval("select reason from dead_letters") == "WorkerLost"


@pytest.mark.parametrize("timeout_s", [None, 600.0])
async def test_long_work_that_is_renewed_is_never_run_again_wk05_wk11(
    settings: Settings, pool: Pool, timeout_s: float | None
) -> None:
    starts: list[int] = []

    async def work(_: Any) -> None:
        starts.append(1)
        await asyncio.sleep(3 * settings.lease_s)

    settings = settings.model_copy(update={"lease_s": 1.5, "renew_s": 0.25})
    made = handler("long", work, lane=Lane.LOOP, timeout_s=timeout_s)
    async with running_relay(settings, pool) as relay, running_worker(settings, pool, made):
        ids = await submit(pool, task_type="long")
        (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert sample(relay, "relay_leases_expired_total") == 0
    assert (row["fence"], row["attempts"], starts) == (1, 1, [1])


async def test_age_alone_fails_nothing_wk15(settings: Settings, pool: Pool) -> None:
    ids = await submit(pool, 5, max_retries=0)
    await pool.execute(
        "update tasks set created_at = now() - interval '1 day', due_at = created_at"
    )
    async with running_relay(settings, pool) as relay:
        await until_messages(settings, 5)

        async def reannounced() -> bool:
            return sample(relay, "relay_reannounced_total") > 0

        await pool.execute("delete from outbox")
        await delete_queue(settings)
        await until(reannounced, within_s=20)
        assert {(row["state"], row["attempts"]) for row in await rows(pool, ids)} == {("QUEUED", 0)}
        async with running_worker(settings, pool):
            await until_state(pool, ids, "SUCCEEDED")


async def test_outcomes_wait_for_a_database_that_is_away_db01(
    settings: Settings, pool: Pool
) -> None:
    ids = await sent(settings, pool, 5, task_type="sleep", payload={"seconds": 0.5})
    async with linked_database(settings, lease_s=30.0) as (link, broken):
        own_pool = await open_pool(broken, process="worker")
        async with running_worker(broken, own_pool) as worker:
            await until_state(pool, ids, "PROCESSING")
            await link.cut()
            await until_sample(worker, "worker_tasks_running", 0)
            assert {row["state"] for row in await rows(pool, ids)} == {"PROCESSING"}
            await link.heal()
            done = await until_state(pool, ids, "SUCCEEDED")
            assert {row["fence"] for row in done} == {1}
            await until_sample(worker, "worker_tasks_in_flight", 0)
        await own_pool.close()
    await nothing_left(settings, pool)


async def test_an_outcome_that_can_never_be_committed_leaves_nothing_stuck(
    settings: Settings, pool: Pool
) -> None:
    await pool.execute("alter table attempt_failures add check (message <> 'poison')")
    poison = {"message": "poison"}
    async with running_relay(settings, pool), running_worker(settings, pool) as worker:
        ids = await submit(pool, task_type="fail", payload=poison, max_retries=0)
        good = await submit(pool, 20)
        await until_state(pool, good, "SUCCEEDED")
        (row,) = await until_state(pool, ids, "FAILED", within_s=20)
        assert "WorkerLost" in row["error"]
        await until_sample(worker, "worker_tasks_in_flight", 0)
    await nothing_left(settings, pool)


async def test_a_result_that_postgres_refuses_spares_its_neighbours(
    settings: Settings, pool: Pool
) -> None:
    # A trigger stands for whatever Postgres refuses and our own checks let pass.
    await pool.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin "
        "if new.result::text = '\"refuse\"' then raise data_exception; end if; return new; end $$"
    )
    await pool.execute(
        "create trigger refuse before update on tasks for each row execute function refuse()"
    )
    bad = await sent(settings, pool, task_type="echo", payload="refuse")
    good = await sent(settings, pool, 30)
    async with running_worker(settings, pool):
        await until_state(pool, good, "SUCCEEDED")
        (row,) = await until_state(pool, bad, "FAILED")
        assert "InvalidResult" in row["error"]
    await nothing_left(settings, pool)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ROWLESS_PAUSE_S", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_message_without_a_task_is_dead_lettered_ob01(
    settings: Settings, pool: Pool
) -> None:
    ids = some_ids(2)
    await announce(settings, ids)
    await send(settings, b"junk")
    async with running_worker(settings, pool) as worker:

        async def are_buried() -> bool:
            found = await pool.fetch("select task_id from dead_letters where reason = 'NoSuchTask'")
            return {row["task_id"] for row in found} == set(ids)

        await until(are_buried)
        await until_sample(worker, "worker_tasks_in_flight", 0)
        await until_sample(worker, "worker_deliveries_rowless_total", 3)
    await nothing_left(settings, pool)


async def test_a_row_that_comes_after_its_message_is_run_ob01(
    settings: Settings, pool: Pool
) -> None:
    task = new_task()
    await send(settings, wire.encode_message(task.id))
    async with running_worker(settings, pool) as worker:
        await until_sample(worker, "worker_tasks_in_flight", 1)
        await submit_tasks(pool, [task], grace_s=3_600, key_ttl_s=1)
        await until_state(pool, [task.id], "SUCCEEDED")
        await until_sample(worker, "worker_tasks_in_flight", 0)
    assert await pool.fetchval("select count(*) from dead_letters") == 0
