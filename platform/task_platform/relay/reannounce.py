"""Announcing the forgotten: a purged queue or a lost broker must not lose a task.

A task is forgotten when it is QUEUED, long due, without an outbox row, and when either the
queue shows nothing ready (then no message of it exists, or one that a worker is about to drop), or
tasks that fell due later were started long ago. Announcing too much is harmless, because a task can
only be claimed once.
"""

from __future__ import annotations

from time import monotonic, time
from uuid import UUID

import structlog

from task_platform.broker import topology
from task_platform.metrics import RelayMetrics
from task_platform.relay.probe import QueueProbe
from task_platform.settings import Settings
from task_platform.storage.outbox import reannounce
from task_platform.storage.pool import Pool

log = structlog.get_logger()

_WINDOW = 10_000
_START = UUID(int=0)
# Ids are made before their commit, by clocks that differ: nothing this young is taken as history.
_SETTLED_AFTER_S = 60.0
# The search may take this share of the relay's time: one old open task keeps the mark low, and all
# that finished since is then looked at again and again. But whoever is forgotten shall not wait for
# long because the database had a bad moment.
_DUTY = 0.05
_LONGEST_PAUSE_S = 10.0


class Reannouncer:
    """Walks the ids from a low-water mark, below which every task is known to be terminal."""

    def __init__(self, pool: Pool, settings: Settings, metrics: RelayMetrics) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._mark = _START
        self._not_before = 0.0
        self._busy_not_before = 0.0
        self._probe = QueueProbe(settings, name="relay probe")

    async def run_pass(self) -> bool:
        """Look through the open tasks once, when it is time to. Never asks to be repeated.

        Raises DatabaseUnavailable, BrokerUnavailable.
        """
        started = monotonic()
        if started < self._not_before:
            return False
        queue_is_empty = (await self._probe.depth(topology.TASKS)).ready == 0
        if not queue_is_empty and started < self._busy_not_before:
            return False
        # The broker may take its time to answer: that is not the search's.
        began = monotonic()
        announced = await self._search(only_overtaken=not queue_is_empty)
        ended = monotonic()
        self._not_before = ended + min((ended - began) / _DUTY, _LONGEST_PAUSE_S)
        self._busy_not_before = started + self._settings.reannounce_every_s
        if announced:
            self._metrics.reannounced.inc(announced)
            log.warning("announced forgotten tasks again", tasks=announced)
            self._not_before = max(self._not_before, self._busy_not_before)
        return False

    async def _search(self, *, only_overtaken: bool) -> int:
        # While messages are waiting, a task that was due so recently may just be among them.
        settings = self._settings
        age_s = settings.reannounce_every_s if only_overtaken else settings.reannounce_age_s
        # A task whose id is younger than the age cannot have been due for so long.
        before = uuid7_floor(time() - age_s)
        after, announced, mark_is_settled = self._mark, 0, False
        while True:
            window = await reannounce(
                self._pool,
                after=after,
                before=before,
                window=_WINDOW,
                age_s=age_s,
                only_overtaken=only_overtaken,
            )
            announced += window.announced
            if window.last_scanned is None or (only_overtaken and not window.has_started):
                return announced
            if not mark_is_settled:
                self._advance_mark(window.first_open, window.last_scanned)
                mark_is_settled = window.first_open is not None
            after = window.last_scanned

    async def close(self) -> None:
        """Let the connection go."""
        await self._probe.close()

    def _advance_mark(self, first_open: UUID | None, last_scanned: UUID) -> None:
        candidate = last_scanned if first_open is None else UUID(int=first_open.int - 1)
        self._mark = max(self._mark, min(candidate, uuid7_floor(time() - _SETTLED_AFTER_S)))


def uuid7_floor(unix_s: float) -> UUID:
    """The lowest UUIDv7 of an instant (RFC 9562: the first 48 bits are unix milliseconds)."""
    return UUID(int=int(unix_s * 1_000) << 80)
