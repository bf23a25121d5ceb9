"""The worker: claim → run → finish → acknowledge, until told to stop; then drain."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

import structlog

from task_platform.domain.batching import BatchLimits, Spacing
from task_platform.domain.deliveries import claim_room, wanted_prefetch
from task_platform.errors import ConfigurationError
from task_platform.handlers.registry import HandlerRegistry
from task_platform.metrics import WorkerMetrics
from task_platform.service import (
    Service,
    cancelled,
    database_when_current,
    spare_the_collector,
)
from task_platform.storage.pool import Pool, close_pool
from task_platform.storage.transactions import HandlerConnections
from task_platform.worker.completer import Completer, Finished
from task_platform.worker.consumer import Consumer
from task_platform.worker.executor import Executor
from task_platform.worker.give_back import Redistribution
from task_platform.worker.intake import Intake, Taken
from task_platform.worker.isolation import Isolation
from task_platform.worker.leases import Leases
from task_platform.worker.pace import Pace
from task_platform.worker.slots import Slots
from task_platform.worker.work import Assignment, ClaimInHand, Delivery, GivenBack

log = structlog.get_logger()

PACE_EVERY_S = 0.1
# A task that runs alone for so long keeps further deliveries away.
RESERVED_S = 0.5
# Where nothing could be started for so many leases, others shall have what is not.
STALLED_LEASES = 3
# At 2,350 submissions a second, on two busy cores: 0.57 ms of CPU for each instead of 0.65, and a
# queue wait (95 of 100) of 17 ms instead of 29. Below 2,000 a second nothing waits.
_CLAIMS = BatchLimits(apart_s=0.004, apart_per_member_s=0.0005, company=32)
# While so many outcomes wait for their commit, nothing more is claimed.
MAX_WAITING_OUTCOMES = 1_000
# How long an interrupted handler may take to clean up.
INTERRUPTED_END_S = 2.0
# Beyond the wait for a last scrape, what a drained process needs for its end.
_EXIT_S = 5.0


async def run_worker(service: Service) -> None:
    """Work until told to stop, then drain."""
    settings = service.settings
    handlers = HandlerRegistry.load(settings.handlers, builtin_types=settings.builtin_types)
    if not handlers.task_types:
        raise ConfigurationError("this worker knows no task types: set TASK_PLATFORM_HANDLERS")
    pool = await database_when_current(service, keeps_plans=True)
    if pool is None:
        return
    worker = Worker(service, pool, handlers)
    try:
        await worker.run()
    finally:
        await close_pool(pool)


class Worker:
    """One worker process and everything it has in hand."""

    def __init__(self, service: Service, pool: Pool, handlers: HandlerRegistry) -> None:
        settings = service.settings
        # Unique for each start, so that a restarted worker never renews its predecessor's leases.
        self.name = f"worker {socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._service = service
        self._settings = settings
        self._concurrency = settings.worker_concurrency
        self._pace = Pace(self._concurrency)
        self._leapt = asyncio.Event()
        self._claims = Spacing(_CLAIMS)
        self._letting_go: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[Taken] | None = None
        metrics = WorkerMetrics(service.registry, handlers.task_types)
        self._consumer = Consumer(
            settings,
            metrics,
            worker=self.name,
            prefetch=wanted_prefetch(self._concurrency, 0.0),
            on_change=lambda consuming: service.readiness.set("consuming", met=consuming),
        )
        self._leases = Leases(pool, settings, metrics, worker=self.name, on_lost=self._withdraw)
        self._intake = Intake(
            pool, settings, metrics, self._consumer, self._leases, worker=self.name
        )
        self._connections = HandlerConnections(
            settings, on_wait=metrics.handler_connection_wait.observe
        )
        self._executor = Executor(
            handlers,
            settings.retry_policy,
            self._concurrency,
            connections=self._connections,
            max_result_bytes=settings.max_result_bytes,
            on_thread_freed=self._fill_slots,
        )
        self._completer = Completer(
            pool,
            metrics,
            worker=self.name,
            acknowledge=self._consumer.acknowledge,
            leases=self._leases,
        )
        self._slots = Slots(
            self._executor, self._concurrency, done=self._finish, broken=self._abandon
        )
        self._isolation = Isolation(
            intake=self._intake,
            slots=self._slots,
            executor=self._executor,
            completer=self._completer,
            stopping=service.stopping,
            lease_s=settings.lease_s,
            take_up=self._take_up,
        )
        self._redistribution = Redistribution(
            pool,
            metrics,
            consumer=self._consumer,
            intake=self._intake,
            slots=self._slots,
            completer=self._completer,
            pace=self._pace,
            stalled_after_s=STALLED_LEASES * settings.lease_s,
        )
        metrics.slots.set(self._concurrency)
        metrics.running.set_function(lambda: len(self._slots.running))
        metrics.stuck_threads.set_function(lambda: self._executor.stuck_threads)

    async def run(self) -> None:
        """Serve until the service is told to stop; then drain."""
        self._service.readiness.set("start", met=True)
        self._service.readiness.set("consuming", met=False)
        spare_the_collector()
        async with asyncio.TaskGroup() as group:
            consuming, renewing, pacing, redistributing, working = (
                group.create_task(_unshaken(loop))
                for loop in (
                    self._consumer.run,
                    self._leases.run,
                    self._keep_pace,
                    self._redistribution.run,
                    self._work,
                )
            )
            await self._service.stopping.wait()
            self._service.readiness.set("drain", met=False)
            log.info("draining", running=len(self._slots.running), unstarted=self._slots.in_line)
            for task in (pacing, redistributing):
                await cancelled(task)
            await self._consumer.stop()
            # A claim that is under way comes to its end: cut short, its tasks would be left to the
            # reaper.
            self._consumer.arrived.set()
            self._slots.changed.set()
            await asyncio.wait({working}, timeout=self._settings.lease_s)
            await cancelled(working)
            await self._drain()
            for task in (renewing, consuming):
                await cancelled(task)

    async def _work(self) -> None:
        """Claim and run, batch after batch.

        The next claim is on its way while the tasks of one run: the database works meanwhile.
        """
        stopping = self._service.stopping
        while self._claiming is not None or not stopping.is_set():
            self._slots.changed.clear()
            if self._claiming is None:
                if self._intake.has_isolated:
                    await self._isolation.run_next()
                    continue
                await self._consumer.arrived.wait()
                if self._room() == 0:
                    await self._slots.changed.wait()
                elif self._completer.waiting >= MAX_WAITING_OUTCOMES:
                    await self._completer.drain()
                elif pause_s := self._pause_s():
                    await asyncio.sleep(pause_s)
                else:
                    self._claim_next()
                continue
            taken = await self._claimed(self._claiming)
            claimed = len(taken.assignments)
            self._claims.note(claimed, monotonic())
            is_next = self._consumer.arrived.is_set() and not self._pause_s(beside=claimed)
            if is_next and not self._intake.has_isolated:
                self._claim_next(beside=claimed)
                # It leaves now, not when these tasks have run.
                await asyncio.sleep(0)
            await self._take_up(taken)

    async def _claimed(self, claiming: asyncio.Task[Taken]) -> Taken:
        """What a claim has brought, which must not get lost with whoever waits for it."""
        try:
            taken = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            if claiming.cancelled():
                # It brings nothing any more, and would be waited for for ever.
                self._claiming = None
            raise
        self._claiming = None
        return taken

    def _claim_next(self, *, beside: int = 0) -> None:
        """Begin to claim, if there is room beside so many that were claimed just now."""
        room = self._room() - beside
        has_outcomes_to_spare = self._completer.waiting < MAX_WAITING_OUTCOMES
        if room > 0 and has_outcomes_to_spare and not self._service.stopping.is_set():
            self._claiming = asyncio.create_task(self._intake.claim_batch(room))

    def _pause_s(self, *, beside: int = 0) -> float:
        """How long the next claim should wait for more to come, if more can come."""
        most = max(1, min(_CLAIMS.company, self._room() - beside))
        return 0.0 if self._consumer.untaken >= most else self._claims.pause_s(monotonic())

    def _room(self) -> int:
        """How many more tasks may be claimed now."""
        # Slots that stuck threads hold will not come free: nothing is claimed for them. What runs
        # inline needs none.
        return claim_room(max(1, self._slots.usable), self._pace.per_s, self._slots.in_line)

    async def _take_up(self, taken: Taken) -> None:
        """Run what needs no waiting now, line up the rest, let go what is not ours."""
        finished: list[Finished] = []
        to_wait = []
        assignments = taken.assignments
        if assignments and not await self._leases.is_still_ours(assignments[0].claim):
            # It was answered late, or long ago, behind tasks that took their time.
            self._abandon(*assignments)
            assignments = ()
        for assignment in assignments:
            outcome = self._executor.run_inline(assignment)
            if outcome is None:
                to_wait.append(assignment)
            else:
                finished.append((assignment, outcome))
        self._finish(*finished)
        self._slots.line_up(to_wait)
        await self._intake.let_go(taken.unclaimable)
        await asyncio.sleep(0)

    async def _keep_pace(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PACE_EVERY_S):
                    await self._leapt.wait()
            if self._leapt.is_set():
                self._leapt.clear()
            else:
                self._pace.tick(monotonic())
            self._service.readiness.set("slots", met=self._slots.usable > 0)
            wanted = wanted_prefetch(self._concurrency, self._pace.per_s)
            if self._slots.reserved_s > RESERVED_S or self._redistribution.is_stalled:
                # Whatever came would wait for the end of those that run.
                wanted = 1
            await self._consumer.set_prefetch(wanted)

    def _finish(self, *finished: Finished) -> None:
        self._completer.add(finished)
        if self._pace.count(len(finished), monotonic()):
            self._leapt.set()

    def _fill_slots(self) -> None:
        self._slots.fill()

    def _abandon(self, *assignments: Assignment) -> None:
        """Leave tasks to the reaper: they have no outcome, and never will have one here."""
        for assignment in assignments:
            self._leases.abandon(assignment.claim)
        self._let_go_soon([assignment.delivery for assignment in assignments])

    def _withdraw(self, claim: ClaimInHand) -> None:
        """Stop working on a claim that belongs to somebody else now.

        Its deliveries go too: the reaper has announced the tasks again.
        """
        self._let_go_soon([assignment.delivery for assignment in self._slots.withdraw(claim)])

    def _let_go_soon(self, deliveries: Sequence[Delivery]) -> None:
        letting_go = asyncio.create_task(self._consumer.acknowledge(deliveries))
        self._letting_go.add(letting_go)
        letting_go.add_done_callback(self._letting_go.discard)

    async def _drain(self) -> None:
        """Finish what runs, give back what does not, and leave nothing to the reaper.

        What no handler has touched goes back at once. What was interrupted follows when its handler
        has ended, so that no second execution begins beside it; where that cannot be had, not
        before this process will have.
        """
        self._intake.close()
        if self._claiming is not None:
            # Whoever was to take it up has been interrupted.
            await asyncio.wait({self._claiming}, timeout=INTERRUPTED_END_S)
            await cancelled(self._claiming)
            if not self._claiming.cancelled():
                claimed = self._claiming.result().assignments
                self._completer.add((assignment, GivenBack()) for assignment in claimed)
        unstarted = self._slots.take_last(self._slots.in_line)
        self._completer.add((assignment, GivenBack()) for assignment in unstarted)
        interrupted = await self._slots.interrupt(
            grace_s=self._settings.drain_grace_s, end_within_s=INTERRUPTED_END_S
        )
        await asyncio.to_thread(self._executor.close)
        for assignment in interrupted:
            may_go_on = assignment in self._slots.running or self._executor.outlives(assignment)
            after_s = self._settings.final_scrape_wait_s + _EXIT_S if may_go_on else 0.0
            self._completer.add([(assignment, GivenBack(after_s))])
        try:
            async with asyncio.timeout(self._settings.lease_s):
                await self._completer.drain()
        except TimeoutError:
            log.warning("not everything could be given back", outcomes=self._completer.waiting)
        await self._connections.close()


async def _unshaken(loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop until it returns or is cancelled by us.

    The libraries below cancel, too, whoever waits for an answer when a connection is closed; that
    is no reason to stop.
    """
    task = asyncio.current_task()
    assert task is not None
    while True:
        try:
            return await loop()
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            log.warning("interrupted by a lost connection", loop=loop.__qualname__)
            await asyncio.sleep(0)
