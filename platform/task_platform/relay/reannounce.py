"""Announcing the forgotten: a purged queue or a lost broker must not lose a task.

A task is forgotten when it is QUEUED, long due, without an outbox row, and when either the
queue shows nothing ready (then no message of it exists, or one that a worker is about to drop), or
tasks that fell due later were started long ago. Announcing too much is harmless, because a task can
only be claimed once.
"""

from __future__ import annotations

from datetime import datetime
from time import monotonic, time
from uuid import UUID

import structlog

from task_platform.broker import topology
from task_platform.metrics import RelayMetrics
from task_platform.relay.probe import QueueProbe
from task_platform.settings import Settings
from task_platform.storage.outbox import Reannounced, reannounce
from task_platform.storage.pool import Pool

log = structlog.get_logger()

_WINDOW = 10_000
_START = UUID(int=0)
# Ids are made before their commit, by clocks that differ: nothing this young is taken as history.
_SETTLED_AFTER_S = 60.0
# A clock may be further behind than that, and its tasks are below the mark when they come: what is
# taken as history is looked at as well, one window a pass, and from the start this often.
_HISTORY_EVERY_S = 300.0
# The search may take this share of the relay's time: one old open task keeps the mark low, and all
# that finished since is then looked at again and again. But whoever is forgotten shall not wait for
# long because the database had a bad moment.
_DUTY = 0.05
_LONGEST_PAUSE_S = 10.0
# A search that takes longer goes on after a pause where it stood.
_TURN_S = 10.0


class Reannouncer:
    """Walks the ids from a low-water mark, below which every task is known to be terminal."""

    def __init__(self, pool: Pool, settings: Settings, metrics: RelayMetrics) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._probe = QueueProbe(settings, name="relay probe")
        self._mark = _START
        self._mark_is_settled = False
        # Where the search stands; None between two searches.
        self._after: UUID | None = None
        self._has_announced = False
        # Tasks that fell due by then were started long ago. What a search learns of it at its end
        # counts for those at its beginning as well, next time.
        self._frontier: datetime | None = None
        self._history_after = _START
        self._history_not_before = monotonic() + _HISTORY_EVERY_S
        self._not_before = 0.0
        self._busy_not_before = 0.0

    async def run_pass(self) -> bool:
        """Look through the open tasks, when it is time to. Never asks to be repeated at once.

        Raises DatabaseUnavailable, BrokerUnavailable.
        """
        started = monotonic()
        if started < self._not_before:
            return False
        queue_is_empty = (await self._probe.depth(topology.TASKS)).ready == 0
        if self._after is None and (queue_is_empty or started >= self._busy_not_before):
            self._after, self._mark_is_settled, self._has_announced = self._mark, False, False
            self._busy_not_before = started + self._settings.reannounce_every_s
        # The broker may take its time to answer: that is not the search's.
        began = monotonic()
        try:
            if self._after is not None:
                await self._search(self._after, only_overtaken=not queue_is_empty)
            if self._after is None:
                await self._look_at_history(only_overtaken=not queue_is_empty)
        finally:
            ended = monotonic()
            self._not_before = ended + min((ended - began) / _DUTY, _LONGEST_PAUSE_S)
            if self._after is None and self._has_announced:
                self._not_before = max(self._not_before, self._busy_not_before)
        return False

    async def close(self) -> None:
        """Let the connection go."""
        await self._probe.close()

    async def _search(self, after: UUID, *, only_overtaken: bool) -> None:
        """Go on with the search by a window at least, to its end or until the turn is over."""
        ends_at = monotonic() + _TURN_S
        while True:
            window = await self._announce_forgotten(after, None, only_overtaken=only_overtaken)
            if window.last_scanned is None:
                self._after = None
                return
            self._has_announced |= window.announced > 0
            if not self._mark_is_settled:
                self._advance_mark(window.first_open, window.last_scanned)
                self._mark_is_settled = window.first_open is not None
            self._after = after = window.last_scanned
            if monotonic() >= ends_at:
                return

    async def _look_at_history(self, *, only_overtaken: bool) -> None:
        now = monotonic()
        if self._history_after == _START:
            if now < self._history_not_before:
                return
            self._history_not_before = now + _HISTORY_EVERY_S
        upto = UUID(int=self._mark.int + 1)
        window = await self._announce_forgotten(
            self._history_after, upto, only_overtaken=only_overtaken
        )
        self._history_after = window.last_scanned or _START

    async def _announce_forgotten(
        self, after: UUID, before: UUID | None, *, only_overtaken: bool
    ) -> Reannounced:
        """Look at one window. before: None for all that are old enough."""
        settings = self._settings
        # While messages are waiting, a task that was due so recently may just be among them.
        age_s = settings.reannounce_every_s if only_overtaken else settings.reannounce_age_s
        window = await reannounce(
            self._pool,
            after=after,
            # A task whose id is younger than the age cannot have been due for so long.
            before=before or uuid7_floor(time() - age_s),
            window=_WINDOW,
            age_s=age_s,
            only_overtaken=only_overtaken,
            frontier=self._frontier,
        )
        self._frontier = window.frontier
        if window.announced:
            self._metrics.reannounced.inc(window.announced)
            log.warning("announced forgotten tasks again", tasks=window.announced)
        return window

    def _advance_mark(self, first_open: UUID | None, last_scanned: UUID) -> None:
        candidate = last_scanned if first_open is None else UUID(int=first_open.int - 1)
        self._mark = max(self._mark, min(candidate, uuid7_floor(time() - _SETTLED_AFTER_S)))


def uuid7_floor(unix_s: float) -> UUID:
    """The lowest UUIDv7 of an instant (RFC 9562: the first 48 bits are unix milliseconds)."""
    return UUID(int=int(unix_s * 1_000) << 80)
