"""Deleting what is over, in small steps that take a small share of the time.

Nothing on `tasks` says what is old but the ids themselves (UUIDv7): they are walked from the low
end, round after round, up to those that are too young to have been finished for long enough.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic, time
from uuid import UUID

from task_platform.metrics import RelayMetrics
from task_platform.relay.reannounce import uuid7_floor
from task_platform.service import Service, stopped_within
from task_platform.storage import locks, retention
from task_platform.storage.locks import Lock
from task_platform.storage.pool import Pool

# Rows that one statement looks at, and deletes at most: some tens of milliseconds.
BATCH = 1_000
# The share of the time that the statements may take.
_DUTY = 0.1
# One relay keeps the lock for so long; then another may have its turn.
_TURN_S = 10.0
_LOWEST = UUID(int=0)


class Retention:
    """Walks the tasks, the dead letters that have none, and the expired keys.

    Where the walks stand is kept between passes. Only one relay at a time is at it.
    """

    def __init__(self, service: Service, pool: Pool, metrics: RelayMetrics) -> None:
        self._service = service
        self._age_s = service.settings.retention_s
        self._pool = pool
        self._metrics = metrics
        self._last_task = _LOWEST
        self._last_letter = _LOWEST

    async def run_pass(self) -> bool:
        """Delete for a while; whether there is more to do. Raises DatabaseUnavailable."""
        async with locks.held_lock(self._pool, locks.RETENTION) as lock:
            if lock is None:
                return False
            ends_at = monotonic() + _TURN_S
            has_more = await self._repeat(lock, ends_at, self._forget_keys)
            if self._age_s:
                has_more |= await self._repeat(lock, ends_at, self._sweep_tasks)
                has_more |= await self._repeat(lock, ends_at, self._sweep_letters)
            return has_more

    async def _repeat(
        self, lock: Lock, ends_at: float, step: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Take steps and the pauses that go with them; whether the time was over before the end."""
        while not self._service.stopping.is_set():
            started = monotonic()
            has_more = await step()
            if not has_more:
                return False
            now = monotonic()
            if now > ends_at:
                return True
            await stopped_within(self._service, (now - started) * (1 / _DUTY - 1))
            await lock.confirm()
        return False

    async def _forget_keys(self) -> bool:
        deleted = await retention.delete_expired_keys(self._pool, limit=BATCH)
        self._metrics.deleted.labels("idempotency_keys").inc(deleted)
        return deleted == BATCH

    async def _sweep_tasks(self) -> bool:
        swept = await retention.delete_finished_tasks(
            self._pool,
            after=self._last_task,
            # A younger task cannot have been finished for so long.
            before=uuid7_floor(time() - self._age_s),
            window=BATCH,
            age_s=self._age_s,
        )
        self._metrics.deleted.labels("tasks").inc(swept.deleted)
        self._last_task = swept.last_scanned or _LOWEST
        return swept.last_scanned is not None

    async def _sweep_letters(self) -> bool:
        swept = await retention.delete_resolved_rowless(
            self._pool, after=self._last_letter, window=BATCH, age_s=self._age_s
        )
        self._metrics.deleted.labels("dead_letters").inc(swept.deleted)
        self._last_letter = swept.last_scanned or _LOWEST
        return swept.last_scanned is not None
