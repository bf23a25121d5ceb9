"""A task that kills its workers runs out of attempts, and those beside it do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from task_platform.domain.transitions import TERMINAL
from task_platform.handlers.context import TaskContext
from task_platform.handlers.registry import Handler, Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ...factories import handler
from ..histories import judged, submitted
from ..platform.processes import running_relay, running_worker, until
from .mortal import HOUR_S, Mortal, expire_leases_now, mortal_worker
from .rewriting import rewrite_statement
from .verdicts import assert_passed

NEIGHBOURS = 3
# One death in company, max_retries + 1 = 2 alone, and a last claim that finds them used up.
LIVES = 4
SABOTAGE = {
    "nobody_isolated": ("isolate = isolate or m.in_company", "isolate = isolate"),
    "everybody_charged": ("not e.alone as in_company", "false as in_company"),
}


class Scene:
    """A worker's share: it dies once the killer runs, after the neighbours beside it have begun."""

    def __init__(self, pool: Pool) -> None:
        self.worker: asyncio.Future[Mortal] = asyncio.get_running_loop().create_future()
        self._pool = pool
        self._beside = 0
        self._all_beside = asyncio.Event()

    def handlers(self) -> list[Handler]:
        return [
            handler("killer", self._kill, lane=Lane.LOOP, takes_context=True),
            handler("neighbour", self._stand_beside, lane=Lane.LOOP, takes_context=True),
        ]

    async def _kill(self, _: Any, context: TaskContext) -> None:
        if not await self._is_isolated(context):
            await self._all_beside.wait()
        await (await self.worker).die()
        await asyncio.Event().wait()

    async def _stand_beside(self, _: Any, context: TaskContext) -> None:
        if not await self._is_isolated(context):
            self._beside += 1
            if self._beside == NEIGHBOURS:
                self._all_beside.set()
            await asyncio.Event().wait()

    async def _is_isolated(self, context: TaskContext) -> bool:
        query = "select isolate from tasks where id = $1"
        return bool(await self._pool.fetchval(query, context.task_id))


@pytest.mark.parametrize("sabotage", [None, *SABOTAGE])
async def test_a_task_that_kills_its_workers_ends_and_its_neighbours_do_not(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, sabotage: str | None
) -> None:
    """One killer and its neighbours, in one worker after the other. Sabotage: the reaper isolates
    nobody (nobody is charged for a loss in company either), or it takes every loss for the task's
    own fault.
    """
    if sabotage is not None:
        rewrite_statement(monkeypatch, "expire_leases", *SABOTAGE[sabotage])
    operations = [
        *await submitted(pool, NEIGHBOURS, task_type="neighbour", payload={}, max_retries=1),
        *await submitted(pool, task_type="killer", payload={}, max_retries=1, expected="FAILED"),
    ]
    async with running_relay(settings, pool):
        for _ in range(LIVES):
            await _one_life(settings, pool)
        if sabotage == "nobody_isolated":
            judgement = await judged(settings, operations, within_s=1)
        else:
            async with running_worker(settings, pool):
                judgement = await judged(settings, operations)
    if sabotage is None:
        assert_passed(judgement)
    elif sabotage == "nobody_isolated":
        # Claimed more often than it has attempts, and no end in sight.
        assert "all_terminal" in judgement.failed
        assert judgement.counts["claims"] >= LIVES
    else:
        assert judgement.failed == {"ended_as_expected"}
        assert judgement.counts["dead"] == NEIGHBOURS + 1


async def _one_life(settings: Settings, pool: Pool) -> None:
    """A worker from its start to its death, or until all is over; then its leases run out."""

    async def is_over() -> bool:
        return {row["state"] for row in await pool.fetch("select state from tasks")} <= TERMINAL

    scene = Scene(pool)
    life = mortal_worker(settings, *scene.handlers(), lease_s=HOUR_S, renew_s=HOUR_S / 2)
    async with life as worker:
        scene.worker.set_result(worker)

        async def has_ended() -> bool:
            return worker.dead.is_set() or await is_over()

        await until(has_ended, within_s=20)
    await expire_leases_now(pool)
