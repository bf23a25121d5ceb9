"""What a worker has in hand: deliveries, claims and the tasks between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from task_platform.domain.task import ClaimedTask


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message in this worker's hands.

    generation: the channel it came by; its tag means nothing on any other.
    """

    task_id: UUID
    tag: int
    generation: int


@dataclass(slots=True, eq=False)
class ClaimInHand:
    """A lease this worker holds, and how many of its tasks are not finished."""

    claim_id: int
    open_tasks: int


@dataclass(slots=True, eq=False)
class Assignment:
    """A claimed task on its way through the worker.

    claimed_mono: this process's monotonic clock at `task.claimed_at`.
    running: the asyncio task that runs it, where it has one of its own.
    is_withdrawn: it was taken from its handler (shutdown, lost lease); no outcome counts.
    """

    task: ClaimedTask
    claim: ClaimInHand
    delivery: Delivery
    claimed_mono: float
    running: asyncio.Task[None] | None = field(default=None)
    is_withdrawn: bool = False

    def at(self, mono: float) -> datetime:
        """The database's time at an instant of the monotonic clock.

        Wall clocks of workers differ and step; the claim's own timestamp does neither.
        """
        return self.task.claimed_at + timedelta(seconds=mono - self.claimed_mono)

    def now(self) -> datetime:
        """The database's time now, as far as this worker can tell."""
        return self.at(monotonic())
