"""What a worker has in hand: deliveries, claims and the tasks between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from msgspec import Struct

from task_platform.domain.task import ClaimedTask


class Delivery(Struct, frozen=True):
    """A message in this worker's hands.

    generation: the channel it came by; its tag means nothing on any other.
    arrived_mono: this process's monotonic clock when it came.
    """

    task_id: UUID
    tag: int
    generation: int
    arrived_mono: float = 0.0


@dataclass(slots=True, eq=False)
class ClaimInHand:
    """A lease this worker holds, and how many of its tasks are not finished.

    renewed_mono: this process's monotonic clock when it was last asked to last on.
    is_abandoned: one of its tasks cannot be finished here. The lease is left to run out, never
        closed: the reaper brings back whatever is still open.
    is_lost: the reaper has taken it.
    """

    claim_id: int
    open_tasks: int
    renewed_mono: float = field(default_factory=monotonic)
    is_abandoned: bool = False
    is_lost: bool = False

    def may_be_lost(self, lease_s: float) -> bool:
        """Whether its tasks may belong to somebody else by now."""
        return self.is_lost or monotonic() > self.renewed_mono + lease_s


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What becomes of a task that was not run to an end: another worker may have it.

    after_s: seconds from now before that; more than 0 while its handler may still be at work here.
    """

    after_s: float = 0.0


@dataclass(slots=True, eq=False)
class Assignment:
    """A claimed task on its way through the worker.

    claimed_mono: this process's monotonic clock at `task.claimed_at`.
    running: the asyncio task that runs it, where it has one of its own.
    is_withdrawn: it was taken from its handler (shutdown, lost lease); no outcome counts.
    is_completing: its handler has ended and its own transaction is being committed: it is not
        interrupted any more, and its outcome counts.
    """

    task: ClaimedTask
    claim: ClaimInHand
    delivery: Delivery
    claimed_mono: float
    running: asyncio.Task[None] | None = field(default=None)
    is_withdrawn: bool = False
    is_completing: bool = False

    def at(self, mono: float) -> datetime:
        """The database's time at an instant of the monotonic clock.

        Wall clocks of workers differ and step; the claim's own timestamp does neither.
        """
        return self.task.claimed_at + timedelta(seconds=mono - self.claimed_mono)

    def now(self) -> datetime:
        """The database's time now, as far as this worker can tell."""
        return self.at(monotonic())
