"""The relay: independent loops, each of which survives anything that the others meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic

import structlog

from task_platform.announcer import announce
from task_platform.broker import topology
from task_platform.broker.publisher import Publisher
from task_platform.errors import DatabaseUnavailable, TaskPlatformError
from task_platform.logs import Outage
from task_platform.metrics import BrokerMetrics, RelayMetrics
from task_platform.relay import census
from task_platform.relay.dlq_reconciler import DeadLetterReconciler
from task_platform.relay.lease_reaper import LeaseReaper
from task_platform.relay.reannounce import Reannouncer
from task_platform.relay.retention import Retention
from task_platform.service import Service, database_when_current, stopped_within
from task_platform.storage import outbox
from task_platform.storage.pool import OUTAGE, Pool, close_pool

log = structlog.get_logger()

_ROWS_PER_ROUND = 100
# A round takes up no message after this time, and its rows stay hidden until the last confirms have
# come or been given up, and are noted. A relay that dies leaves its rows hidden for no longer.
_ROUND_S = 4.0
_NOTE_S = 1.0
_AGE_EVERY_S = 0.5
# Statements, confirms and answers of the broker each have a time limit; this is for what hangs in
# between all the same. Turning over a long dead letter queue takes its time.
_LONGEST_PASS_S = {"dlq": 900.0}
_LONGEST_PASS_OF_OTHERS_S = 60.0
_BROKER_EVERY_S = 1.0
# Every loop may be in the middle of a statement, and two of them hold a lock besides: one that
# stalls must not take the connection that another needs.
_CONNECTIONS = 11


async def run_relay(service: Service) -> None:
    """Relay until told to stop."""
    size = max(_CONNECTIONS, service.settings.database_pool_size)
    pool = await database_when_current(service, size=size)
    if pool is None:
        return
    relay = Relay(service, pool)
    service.readiness.set("broker", met=False)
    service.readiness.set("start", met=True)
    try:
        await relay.run()
    finally:
        await close_pool(pool)


class Relay:
    """Announces due outbox rows, brings back what lost workers held, announces the forgotten,
    keeps the dead letter queue and the list of the dead in agreement, deletes what is over, and
    counts what there is.

    Several relays at once are safe: rows are taken with `skip locked` and hidden while in hand, and
    what only one may do is done under a lock.
    """

    def __init__(self, service: Service, pool: Pool) -> None:
        self._service = service
        self._settings = service.settings
        self._pool = pool
        self._metrics = RelayMetrics(service.registry)
        self._outage = Outage("passes fail")
        self._reaper = LeaseReaper(pool, service.settings, self._metrics)
        self._reannouncer = Reannouncer(pool, service.settings, self._metrics)
        self._reconciler = DeadLetterReconciler(service, pool, self._metrics)
        self._retention = Retention(service, pool, self._metrics)
        self._census = census.Census(pool, self._metrics)
        # Each queue has a publisher of its own, so that one which is full or missing does not hold
        # back the messages of the other.
        self._publishers = {
            queue: Publisher(service.settings, name=f"relay {queue}")
            for queue in (topology.TASKS, topology.DEAD_LETTERS)
        }
        BrokerMetrics(service.registry).blocked.set_function(
            lambda: any(publisher.is_blocked for publisher in self._publishers.values())
        )
        self._oldest_age_s, self._oldest_age_at = 0.0, monotonic()

    async def run(self) -> None:
        """Run all loops until the service is told to stop."""
        settings = self._settings
        loops: list[tuple[str, float, Callable[[], Awaitable[bool]]]] = [
            ("outbox", settings.relay_poll_s, partial(self._relay_due, topology.TASKS)),
            (
                "dead_letters",
                settings.relay_poll_s,
                partial(self._relay_due, topology.DEAD_LETTERS),
            ),
            ("leases", settings.reaper_interval_s, self._reaper.run_pass),
            ("reannounce", settings.reannounce_age_s / 4, self._reannouncer.run_pass),
            ("age", _AGE_EVERY_S, self._measure_age),
            ("broker", _BROKER_EVERY_S, self._probe_broker),
            ("dlq", settings.dlq_check_s, self._reconciler.look),
            ("retention", settings.retention_every_s, self._retention.run_pass),
            ("census", census.EVERY_S, self._census.run_pass),
        ]
        async with asyncio.TaskGroup() as group:
            for name, every_s, one_pass in loops:
                group.create_task(self._loop(name, every_s, one_pass))
        await self._census.close()
        await self._reannouncer.close()
        await self._reconciler.close()
        for publisher in self._publishers.values():
            await publisher.close()

    async def _loop(
        self, name: str, every_s: float, one_pass: Callable[[], Awaitable[bool]]
    ) -> None:
        """Repeat a pass; it says whether there is more to do at once."""
        limit_s = _LONGEST_PASS_S.get(name, _LONGEST_PASS_OF_OTHERS_S)
        while not self._service.stopping.is_set():
            has_more = False
            try:
                async with asyncio.timeout(limit_s):
                    has_more = await one_pass()
            except (TaskPlatformError, TimeoutError) as error:
                self._metrics.loop_errors.labels(name).inc()
                outage = OUTAGE if isinstance(error, DatabaseUnavailable) else self._outage
                outage.complain(error, by=name)
            else:
                OUTAGE.over(by=name)
                self._outage.over(by=name)
            if not has_more:
                await stopped_within(self._service, every_s)

    async def _relay_due(self, queue: str) -> bool:
        publisher = self._publishers[queue]
        if publisher.is_backing_off:
            # Taking rows only to release them again would churn the outbox.
            return False
        # From before they are hidden: by whichever clock, they are hidden for longer than that.
        ends_at = monotonic() + _ROUND_S
        hide_s = _ROUND_S + self._settings.publish_timeout_s + _NOTE_S
        rows = await outbox.claim_outbox_rows(
            self._pool, queue=queue, limit=_ROWS_PER_ROUND, hide_s=hide_s
        )
        if not rows:
            return False
        sent, remaining = await announce(
            self._pool,
            publisher,
            rows,
            retry_in_s=self._settings.relay_poll_s * 5,
            ends_at=ends_at,
        )
        self._metrics.announced.inc(sent)
        return monotonic() >= ends_at if remaining else len(rows) == _ROWS_PER_ROUND

    async def _probe_broker(self) -> bool:
        is_there = await self._publishers[topology.TASKS].probe()
        self._service.readiness.set("broker", met=is_there)
        return False

    async def _measure_age(self) -> bool:
        # In a loop of its own: rows that wait hidden for their next try are old all the same.
        try:
            self._oldest_age_s = await outbox.oldest_unsent_age_s(self._pool)
        except (TaskPlatformError, asyncio.CancelledError):  # cancelled: the pass took too long
            # It may be older by as much as nobody could look.
            unseen_s = monotonic() - self._oldest_age_at
            self._metrics.oldest_age.set(self._oldest_age_s + unseen_s)
            raise
        self._oldest_age_at = monotonic()
        self._metrics.oldest_age.set(self._oldest_age_s)
        return False
