"""The fence: whoever lost its task cannot finish it, although the task is PROCESSING again."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from task_platform.domain.task import ClaimedTask
from task_platform.handlers.context import TaskContext
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks, give_back
from task_platform.storage.effects import log_effect
from task_platform.storage.outcomes import finish_unsuccessful
from task_platform.storage.pool import Pool

from ...factories import claimed_task, failure, handler
from ..histories import submitted
from ..platform.processes import running_relay, running_worker, until_sample
from .mortal import HOUR_S, expire_leases_now, mortal_worker
from .rewriting import rewrite_statement
from .verdicts import assert_failed_without_protection

FENCE = "and t.fence = i.fence"


@pytest.mark.parametrize("how", ["expired", "given_back"])
async def test_a_late_failure_cannot_end_a_task_that_another_worker_runs(
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    is_protected: bool,
    how: str,
) -> None:
    """A worker lost its task to another one, which runs it; then it reports that it failed for
    good. The condition on the state is in place, and lets it through: the task is PROCESSING.
    """
    if not is_protected:
        rewrite_statement(monkeypatch, "finish_unsuccessful", FENCE, "")
    started, gate = asyncio.Event(), asyncio.Event()

    async def held(_: Any) -> None:
        started.set()
        await gate.wait()

    operations = await submitted(pool, task_type="held", payload={}, max_retries=0)
    task_id = UUID(operations[0].task_id)
    claim = await claim_tasks(pool, [task_id], owner="late", lease_s=HOUR_S)
    await _lose(pool, claim.tasks[0], how)
    async with (
        running_relay(settings, pool),
        running_worker(settings, pool, handler("held", held, lane=Lane.LOOP)),
    ):
        async with asyncio.timeout(10):
            await started.wait()
        kept = await finish_unsuccessful(
            pool, [failure(claim.tasks[0])], worker="late", closed_claims=[]
        )
        gate.set()
        await assert_failed_without_protection(
            settings, operations, check="ended_as_expected", is_protected=is_protected
        )
    assert kept == (set() if is_protected else {task_id})


@pytest.mark.parametrize("how", ["expired", "given_back"])
async def test_a_late_success_cannot_commit_what_its_handler_wrote(
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    is_protected: bool,
    how: str,
) -> None:
    """A worker loses its task, unawares; another one runs it. Then the
    old handler comes to its end, with an effect that is part of its completion.
    """
    if not is_protected:
        rewrite_statement(monkeypatch, "finish_succeeded", FENCE, "")
    started = {1: asyncio.Event(), 2: asyncio.Event()}
    gates = {1: asyncio.Event(), 2: asyncio.Event()}

    async def held(_: Any, context: TaskContext) -> dict[str, int]:
        async with context.connection() as connection:
            await log_effect(connection, context.task_id, context.fence, "started")
        connection = await context.transaction()
        await log_effect(connection, context.task_id, context.fence, "guarded")
        started[context.fence].set()
        await gates[context.fence].wait()
        return {"fence": context.fence}

    effect = handler("effect", held, lane=Lane.LOOP, takes_context=True)
    operations = await submitted(pool, task_type="effect", payload={"via": "transaction"})
    async with (
        asyncio.timeout(20),
        running_relay(settings, pool),
        mortal_worker(settings, effect, lease_s=HOUR_S, renew_s=HOUR_S / 2) as late,
    ):
        await started[1].wait()
        await late.worker._consumer.stop()
        await _lose(pool, claimed_task(id=UUID(operations[0].task_id), fence=1), how)
        async with mortal_worker(settings, effect) as present:
            await started[2].wait()
            gates[1].set()
            await until_sample(late.service, "worker_tasks_running", 0)
            gates[2].set()
            await until_sample(present.service, "worker_tasks_running", 0)
            await assert_failed_without_protection(
                settings, operations, check="effects_once", is_protected=is_protected
            )


async def _lose(pool: Pool, task: ClaimedTask, how: str) -> None:
    """The task leaves its only worker, which does not notice."""
    if how == "expired":
        await expire_leases_now(pool)
    else:
        claims = await pool.fetch("select id from claims")
        await give_back(pool, [task], closed_claims=[claim["id"] for claim in claims])
