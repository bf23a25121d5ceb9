"""Commits leave for the broker right behind their answer, from memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from task_platform.announcer import announce
from task_platform.broker import topology
from task_platform.broker.publisher import Publisher
from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import ApiMetrics
from task_platform.settings import Settings
from task_platform.storage.outbox import OutboxRow, release_outbox_rows
from task_platform.storage.pool import OUTAGE, Pool
from task_platform.storage.submissions import Committed

# Tasks remembered while the broker is slow; beyond it the relay takes over.
_MAX_WAITING = 50_000
_PER_ROUND = 2_000


class Announcements:
    """Sends what was just committed.

    It may forget: the outbox rows stay until the broker confirmed, and the relay takes those that
    nobody has kept for longer than the grace period.
    """

    def __init__(
        self, pool: Pool, publisher: Publisher, settings: Settings, metrics: ApiMetrics
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._settings = settings
        self._metrics = metrics
        self._waiting: deque[OutboxRow] = deque()
        self._sending: Sequence[OutboxRow] = ()
        self._waiting_tasks = 0
        self._wake = asyncio.Event()
        self._is_stopping = False

    def add(self, commit: Committed) -> None:
        """Take a commit to announce."""
        if self._waiting_tasks < _MAX_WAITING:
            self._waiting.append(OutboxRow(commit.outbox_id, topology.TASKS, commit.task_ids))
            self._waiting_tasks += len(commit.task_ids)
            self._wake.set()

    async def run(self) -> None:
        """Announce until told to stop, and then what is left."""
        while not self._is_stopping or self._waiting:
            await self._wake.wait()
            await self._announce_round()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._is_stopping = True
        self._wake.set()

    async def keep_rows(self) -> None:
        """Keep the relay away from rows that are merely waiting their turn here, until cancelled.

        Submissions can come faster than the broker confirms; without this every message of such a
        burst would be published twice.
        """
        grace_s = self._settings.outbox_grace_s
        while True:
            await asyncio.sleep(grace_s / 3)
            row_ids = [row.id for row in (*self._sending, *self._waiting)]
            if not row_ids:
                continue
            try:
                await release_outbox_rows(self._pool, row_ids, in_s=grace_s)
            except DatabaseUnavailable as error:
                # Rows may be announced twice.
                OUTAGE.complain(error, by="rows to keep")
            else:
                OUTAGE.over(by="rows to keep")

    async def _announce_round(self) -> None:
        rows: list[OutboxRow] = []
        tasks = 0
        while self._waiting and tasks < _PER_ROUND:
            rows.append(self._waiting.popleft())
            tasks += len(rows[-1].task_ids)
        self._waiting_tasks -= tasks
        if not self._waiting:
            self._wake.clear()
        if not rows:
            return
        self._sending = rows
        try:
            sent, _ = await announce(
                self._pool, self._publisher, rows, retry_in_s=self._settings.outbox_grace_s
            )
            self._metrics.announced.inc(sent)
        except DatabaseUnavailable as error:
            # Announced, but not noted: the relay announces these again.
            OUTAGE.complain(error, by="announcements")
        else:
            OUTAGE.over(by="announcements")
        finally:
            self._sending = ()
