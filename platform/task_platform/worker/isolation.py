"""Running the tasks that may have killed a worker: one at a time, with nothing beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from task_platform.domain.isolation import patience_s
from task_platform.worker.completer import Completer
from task_platform.worker.executor import Executor
from task_platform.worker.intake import Intake, Taken
from task_platform.worker.slots import Slots


class Isolation:
    """Whoever runs beside a task that kills its worker would be charged for its own loss.

    The wait for the others is bounded: one long task must not hold up the isolated ones for ever.
    Past the bound they run in company, a loss is nobody's fault again, and nobody waits for their
    end either.

    take_up: runs what was claimed.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        slots: Slots,
        executor: Executor,
        completer: Completer,
        stopping: asyncio.Event,
        lease_s: float,
        take_up: Callable[[Taken], Awaitable[None]],
    ) -> None:
        self._intake = intake
        self._slots = slots
        self._executor = executor
        self._completer = completer
        self._stopping = stopping
        self._lease_s = lease_s
        self._take_up = take_up

    async def run_next(self) -> None:
        """Run the next one to its end; in company, until it has begun."""
        with self._slots.reserved():
            patience = patience_s(self._lease_s, self._intake.losses)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, patience - self._slots.oldest_s)):
                    await self._until_alone()
            if self._stopping.is_set():
                return
            # A thread past its limit is at work in this process, whatever became of its task.
            in_company = not self._slots.is_idle or self._executor.stuck_threads > 0
            await self._take_up(await self._intake.claim_isolated(in_company=in_company))
            if in_company:
                await self._until(lambda: self._slots.in_line == 0)
            else:
                await self._until_alone()

    async def _until_alone(self) -> None:
        await self._until(lambda: self._slots.is_idle)
        await self._completer.drain()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return once the slots are like that, or the service is stopping."""
        while not (condition() or self._stopping.is_set()):
            self._slots.changed.clear()
            await self._slots.changed.wait()
