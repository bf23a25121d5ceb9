"""The relay: independent loops, each of which survives anything that the others meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from task_platform.announcer import announce
from task_platform.broker.publisher import Publisher
from task_platform.errors import DatabaseUnavailable, TaskPlatformError
from task_platform.logs import Outage
from task_platform.metrics import RelayMetrics
from task_platform.relay.reannounce import Reannouncer
from task_platform.service import Service, database_when_current, stopped_within
from task_platform.storage import claims, outbox
from task_platform.storage.pool import OUTAGE, Pool, close_pool

log = structlog.get_logger()

_ROWS_PER_ROUND = 100
# A relay that dies with rows leaves them hidden for so long.
_HIDE_S = 30.0
_AGE_EVERY_S = 0.5
_BROKER_EVERY_S = 1.0


async def run_relay(service: Service) -> None:
    """Relay until told to stop."""
    pool = await database_when_current(service)
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
    """Announces due outbox rows, brings back what lost workers held, announces the forgotten.

    Several relays at once are safe: rows are taken with `skip locked` and hidden while in hand.
    """

    def __init__(self, service: Service, pool: Pool) -> None:
        self._service = service
        self._settings = service.settings
        self._pool = pool
        self._metrics = RelayMetrics(service.registry)
        self._publisher = Publisher(service.settings, name="relay")
        self._outage = Outage("passes fail")
        self._reannouncer = Reannouncer(pool, service.settings, self._metrics)

    async def run(self) -> None:
        """Run all loops until the service is told to stop."""
        settings = self._settings
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop("outbox", settings.relay_poll_s, self._relay_due))
            group.create_task(self._loop("leases", settings.reaper_interval_s, self._reap))
            group.create_task(
                self._loop("reannounce", settings.reannounce_age_s / 4, self._reannouncer.run_pass)
            )
            group.create_task(self._loop("age", _AGE_EVERY_S, self._measure_age))
            group.create_task(self._loop("broker", _BROKER_EVERY_S, self._probe_broker))
        await self._reannouncer.close()
        await self._publisher.close()

    async def _loop(
        self, name: str, every_s: float, one_pass: Callable[[], Awaitable[bool]]
    ) -> None:
        """Repeat a pass; it says whether there is more to do at once."""
        while not self._service.stopping.is_set():
            has_more = False
            try:
                async with asyncio.timeout(6 * self._settings.database_timeout_s):
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

    async def _relay_due(self) -> bool:
        if self._publisher.is_backing_off:
            # Taking rows only to release them again would churn the outbox.
            return False
        rows = await outbox.claim_outbox_rows(self._pool, limit=_ROWS_PER_ROUND, hide_s=_HIDE_S)
        if not rows:
            return False
        sent, remaining = await announce(
            self._pool, self._publisher, rows, retry_in_s=self._settings.relay_poll_s * 5
        )
        self._metrics.announced.inc(sent)
        return remaining == 0 and len(rows) == _ROWS_PER_ROUND

    async def _probe_broker(self) -> bool:
        self._service.readiness.set("broker", met=await self._publisher.probe())
        return False

    async def _measure_age(self) -> bool:
        # In a loop of its own: rows that wait hidden for their next try are old all the same.
        self._metrics.oldest_age.set(await outbox.oldest_unsent_age_s(self._pool))
        return False

    async def _reap(self) -> bool:
        lost_claims, tasks = await claims.expire_leases(self._pool)
        if lost_claims:
            self._metrics.leases_expired.inc(lost_claims)
            self._metrics.tasks_recovered.inc(tasks)
            log.warning("leases ran out", claims=lost_claims, tasks_brought_back=tasks)
        return False
