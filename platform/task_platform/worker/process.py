"""The worker: claim → run → finish → acknowledge, until told to stop; then drain."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import deque
from contextlib import suppress
from time import monotonic

import structlog

from task_platform.domain.deliveries import claim_room, wanted_prefetch
from task_platform.errors import DatabaseUnavailable
from task_platform.handlers.registry import HandlerRegistry
from task_platform.metrics import WorkerMetrics
from task_platform.service import Service, cancelled, database_when_current
from task_platform.storage.claims import give_back
from task_platform.storage.pool import Pool
from task_platform.worker.completer import Completer
from task_platform.worker.consumer import Consumer
from task_platform.worker.executor import Executor
from task_platform.worker.intake import Intake
from task_platform.worker.leases import Leases
from task_platform.worker.pace import Pace
from task_platform.worker.work import Assignment, ClaimInHand

log = structlog.get_logger()

PACE_EVERY_S = 0.1


async def run_worker(service: Service) -> None:
    """Work until told to stop, then drain."""
    handlers = HandlerRegistry.load(service.settings.handlers)
    pool = await database_when_current(service)
    if pool is None:
        return
    worker = Worker(service, pool, handlers)
    try:
        await worker.run()
    finally:
        await pool.close()


class Worker:
    """One worker process and everything it has in hand."""

    def __init__(self, service: Service, pool: Pool, handlers: HandlerRegistry) -> None:
        settings = service.settings
        # Unique for each start, so that a restarted worker never renews its predecessor's leases.
        self.name = f"worker {socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._service = service
        self._settings = settings
        self._pool = pool
        self._concurrency = settings.worker_concurrency
        self._pace = Pace()
        self._unstarted: deque[Assignment] = deque()
        self._running: set[Assignment] = set()
        self._room = asyncio.Event()
        self._letting_go: set[asyncio.Task[None]] = set()
        metrics = WorkerMetrics(service.registry, handlers.task_types)
        self._metrics = metrics
        self._consumer = Consumer(
            settings,
            metrics,
            worker=self.name,
            prefetch=wanted_prefetch(self._concurrency, 0.0),
            on_change=lambda consuming: service.readiness.set("consuming", met=consuming),
        )
        self._leases = Leases(pool, settings, metrics, worker=self.name, on_lost=self._withdraw)
        self._intake = Intake(pool, settings, metrics, self._consumer, worker=self.name)
        self._executor = Executor(
            handlers,
            settings.retry_policy,
            self._concurrency,
            on_thread_freed=self._on_slot_free,
        )
        self._completer = Completer(
            pool,
            metrics,
            worker=self.name,
            acknowledge=self._consumer.acknowledge,
            closed=self._leases.closed,
        )
        metrics.running.set_function(lambda: len(self._running))
        metrics.stuck_threads.set_function(lambda: self._executor.stuck_threads)

    async def run(self) -> None:
        """Serve until the service is told to stop; then drain."""
        self._service.readiness.set("start", met=True)
        self._service.readiness.set("consuming", met=False)
        async with asyncio.TaskGroup() as group:
            consuming = group.create_task(self._consumer.run())
            renewing = group.create_task(self._leases.run())
            pacing = group.create_task(self._keep_pace())
            working = group.create_task(self._work())
            await self._service.stopping.wait()
            self._service.readiness.set("drain", met=False)
            log.info("draining", running=len(self._running), unstarted=len(self._unstarted))
            await cancelled(pacing)
            await self._consumer.stop()
            # A claim that is under way comes to its end: cut short, its tasks would be left to the
            # reaper.
            self._consumer.arrived.set()
            self._room.set()
            await asyncio.wait({working}, timeout=self._settings.lease_s)
            await cancelled(working)
            await self._drain()
            for task in (renewing, consuming):
                await cancelled(task)

    async def _work(self) -> None:
        stopping = self._service.stopping
        while not stopping.is_set():
            self._room.clear()
            if self._intake.has_isolated:
                await self._run_isolated()
                continue
            await self._consumer.arrived.wait()
            room = claim_room(self._concurrency, self._pace.per_s, len(self._unstarted))
            if room == 0:
                await self._room.wait()
            elif not stopping.is_set():
                await self._take_up(await self._intake.claim_batch(room))

    async def _take_up(self, assignments: list[Assignment]) -> None:
        """Run what needs no waiting now, and line up the rest."""
        if assignments:
            self._leases.hold(assignments[0].claim)
        for assignment in assignments:
            if self._executor.runs_inline(assignment):
                self._completer.add(assignment, self._executor.run_inline(assignment))
                self._pace.count(1)
            else:
                self._unstarted.append(assignment)
        self._start_waiting()
        await asyncio.sleep(0)

    async def _run_isolated(self) -> None:
        """Run the next isolated task with nothing beside it.

        Whoever runs beside a task that kills its worker would be charged for its own loss. The
        wait for the others is bounded: one long task must not hold up the isolated ones for ever.
        Past the bound it runs in company, and a loss is nobody's fault again.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lease_s):
                await self._idle()
        if not self._service.stopping.is_set():
            in_company = bool(self._running or self._unstarted)
            await self._take_up(await self._intake.claim_isolated(in_company=in_company))
            await self._idle()

    async def _idle(self) -> None:
        """Return once nothing is in hand, or the service is stopping."""
        while (self._running or self._unstarted) and not self._service.stopping.is_set():
            self._room.clear()
            await self._room.wait()
        await self._completer.drain()

    def _start_waiting(self) -> None:
        while self._unstarted and self._slots_taken() < self._concurrency:
            assignment = self._unstarted.popleft()
            self._running.add(assignment)
            assignment.running = asyncio.create_task(self._run_one(assignment))

    async def _run_one(self, assignment: Assignment) -> None:
        try:
            outcome = await self._executor.run(assignment)
            if not assignment.is_withdrawn:
                self._completer.add(assignment, outcome)
        finally:
            self._running.discard(assignment)
            self._pace.count(1)
            self._on_slot_free()

    def _slots_taken(self) -> int:
        return len(self._running) + self._executor.stuck_threads

    def _on_slot_free(self) -> None:
        self._start_waiting()
        self._room.set()

    async def _keep_pace(self) -> None:
        while True:
            await asyncio.sleep(PACE_EVERY_S)
            self._pace.tick(monotonic())
            await self._consumer.set_prefetch(wanted_prefetch(self._concurrency, self._pace.per_s))

    def _withdraw(self, claim: ClaimInHand) -> None:
        """Stop working on a claim that belongs to somebody else now.

        Its deliveries go too: the reaper has announced the tasks again.
        """
        lost = [a for a in (*self._running, *self._unstarted) if a.claim is claim]
        for assignment in lost:
            assignment.is_withdrawn = True
            if assignment.running is not None:
                assignment.running.cancel()
            else:
                self._unstarted.remove(assignment)
        self._room.set()
        letting_go = asyncio.create_task(
            self._consumer.acknowledge([assignment.delivery for assignment in lost])
        )
        self._letting_go.add(letting_go)
        letting_go.add_done_callback(self._letting_go.discard)

    async def _drain(self) -> None:
        """Finish what runs, give back what does not, and leave nothing to the reaper."""
        self._intake.close()
        unstarted = list(self._unstarted)
        self._unstarted.clear()
        running = {assignment.running for assignment in self._running if assignment.running}
        if running:
            await asyncio.wait(running, timeout=self._settings.drain_grace_s)
        interrupted = list(self._running)
        for assignment in interrupted:
            assignment.is_withdrawn = True
            if assignment.running is not None:
                assignment.running.cancel()
        try:
            async with asyncio.timeout(self._settings.lease_s):
                await self._completer.drain()
                await self._return(unstarted + interrupted)
        except (TimeoutError, DatabaseUnavailable) as error:
            log.warning("not everything could be given back", error=str(error)[:200])
        self._executor.close()

    async def _return(self, assignments: list[Assignment]) -> None:
        if not assignments:
            return
        await give_back(
            self._pool,
            [assignment.task for assignment in assignments],
            closed_claims=self._leases.claim_ids(),
        )
        await self._consumer.acknowledge([assignment.delivery for assignment in assignments])
        self._metrics.given_back.inc(len(assignments))
        log.info("gave back", tasks=len(assignments))
