"""What the ledger says after a kill or a restart; cases of lab-cases.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from uuid import UUID

import asyncpg
import pytest
from task_lab.check.histories import Operation
from task_lab.check.verdict import Verdict
from task_lab.runtime.compose.containers import Container

from ...engine import COMPOSE
from .conftest import RETRY_BASE_S, Stack

pytestmark = COMPOSE


async def test_c15_a_worker_killed_between_effect_and_ack_repeats_the_run_not_the_effect(
    stack: Stack,
) -> None:
    stack.workers(2)
    numbers = {"numbers": [1, 2]}
    others = [await stack.send(f"c15-{n}", "sum", "SUCCEEDED", payload=numbers) for n in range(5)]
    await stack.until_terminal([one.task_id or "" for one in others], within_s=20)
    effect = await stack.send("c15", "effect", "SUCCEEDED", payload={"seconds": 0.7})
    async with completion_held(stack, UUID(effect.task_id)) as container:
        async with asyncio.timeout(10):
            while not await stack.rows(
                "select from effect_log where task_id = $1 and kind = 'guarded'",
                UUID(effect.task_id),
            ):
                await asyncio.sleep(0.02)
        # The effect stands; the task's success, and the acknowledgement after it, cannot.
        (victim,) = (one for one in stack.runtime.replicas() if one.name == container.name)
        stack.runtime.kill_worker(victim)
    judgement, ledger = await stack.judged([*others, effect])
    assert judgement.verdict is Verdict.PASS, judgement.checks
    counts = judgement.counts
    assert (counts["lost"], counts["unexpected"], counts["duplicated"]) == (0, 0, 0)
    # Run twice is told by the claims, apart from what was lost.
    assert counts["claims"] == counts["tasks"] + 1
    assert sorted((one.kind, one.fence) for one in ledger.effect_log) == [
        ("guarded", 1),
        ("started", 1),
        ("started", 2),
    ]
    assert [(one.outcome, one.fence) for one in ledger.failures] == [("worker_lost", 1)]
    stack.workers(2)


@asynccontextmanager
async def completion_held(stack: Stack, task_id: UUID) -> AsyncIterator[Container]:
    """Hold the lease, without which no success is committed; yields the worker that has it.

    Its statements that wait when the block ends never come to anything: the server would finish
    them for a client that is gone.
    """
    holder = await asyncpg.connect(stack.endpoints.database_url)
    try:
        async with asyncio.timeout(20), holder.transaction():
            owner = None
            while owner is None:
                owner = await holder.fetchval(
                    "select owner from claims where $1 = any(task_ids) for update", task_id
                )
            workers = stack.runtime.project.containers("worker")
            (worker,) = (one for one in workers if one.id[:12] in owner)
            yield worker
            while await stack.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where client_addr = $1 and wait_event_type = 'Lock'",
                IPv4Address(worker.address),
            ):
                await asyncio.sleep(0.05)
    finally:
        await holder.close()


async def test_c16_a_broker_restart_between_attempts_changes_neither_their_number_nor_their_times(
    stack: Stack,
) -> None:
    types = ("fail", "unheard_of")
    poisons = [await stack.send(f"c16-{one}", one, "FAILED", max_retries=2) for one in types]
    async with asyncio.timeout(30):
        while {len(await failures(stack, one)) for one in poisons} != {2}:
            await asyncio.sleep(0.05)
    stack.runtime.stop_broker()
    stack.runtime.start_broker()
    back_at = time.time()
    judgement, ledger = await stack.judged(poisons)
    assert judgement.verdict is Verdict.PASS, judgement.checks
    assert sorted(ledger.dlq_ids) == sorted(one.task_id or "" for one in poisons)
    assert [row.attempts for row in ledger.tasks] == [3, 3]
    for poison in poisons:
        first, second, third = await failures(stack, poison)
        assert [one["outcome"] for one in (first, second, third)] == ["retried", "retried", "dead"]
        assert [one["attempt"] for one in (first, second, third)] == [1, 2, 3]
        # Half to all of the base, doubled each time; then until somebody is there to take it.
        assert RETRY_BASE_S / 2 <= second["started_at"] - first["ended_at"] <= RETRY_BASE_S + 2
        due_at = second["ended_at"] + RETRY_BASE_S
        assert due_at <= third["started_at"] <= max(due_at + RETRY_BASE_S, back_at) + 5
        assert third["failed_at"] == pytest.approx(third["ended_at"], abs=1)


async def failures(stack: Stack, poison: Operation) -> list[asyncpg.Record]:
    """The attempts that came to nothing, in order; times in unix seconds.

    failed_at: when the task was put on the list of the dead.
    """
    return await stack.rows(
        "select attempt, outcome, extract(epoch from started_at)::float8 as started_at,"
        " extract(epoch from ended_at)::float8 as ended_at,"
        " extract(epoch from failed_at)::float8 as failed_at"
        " from attempt_failures left join dead_letters using (task_id)"
        " where task_id = $1 order by attempt_failures.fence",
        UUID(poison.task_id),
    )
