"""The records of a task's life. Nothing here knows where they are stored.

Those that are made for every task are msgspec structs: made in 0.07 µs, where a frozen dataclass
takes 1.2 µs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class State(StrEnum):
    """Where a task stands. A task waiting for a retry is QUEUED and due later."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class NewTask(Struct, frozen=True):
    """A validated submission, not yet committed.

    payload: JSON text, exactly as it will be stored and returned.
    fingerprint: digest of the canonical request; only looked at when there is an idempotency key.
    """

    id: UUID
    tenant: str
    task_type: str
    payload: str
    max_retries: int
    idempotency_key: str | None = None
    fingerprint: bytes = b""

    def committed(self, created_at: datetime) -> Task:
        """The task that a commit at this time has made of it."""
        return Task(
            id=self.id,
            tenant=self.tenant,
            task_type=self.task_type,
            payload=self.payload,
            max_retries=self.max_retries,
            state=State.QUEUED,
            attempts=0,
            result=None,
            error=None,
            created_at=created_at,
            due_at=created_at,
            started_at=None,
            finished_at=None,
        )


class Task(Struct, frozen=True):
    """A committed task as clients see it.

    result, error: JSON text. replay_of: the dead task that this one repeats.
    """

    id: UUID
    tenant: str
    task_type: str
    payload: str
    max_retries: int
    state: State
    attempts: int
    result: str | None
    error: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    replay_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that did not succeed.

    outcome: `retried`, `dead` (no further attempt) or `worker_lost`.
    """

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    error_type: str
    message: str


class ClaimedTask(Struct, frozen=True):
    """A task a worker holds under a lease, with what it needs to run and to finish it.

    fence: the number the finishing statement must still find in the row.
    attempt: counted from 1, this execution included.
    exhausted: the attempts were used up by lost workers; it must be failed without running.
    claimed_at: the database's clock at the claim.
    """

    id: UUID
    task_type: str
    payload: str
    max_retries: int
    attempt: int
    fence: int
    exhausted: bool
    created_at: datetime
    due_at: datetime
    claimed_at: datetime

    @property
    def charge(self) -> int:
        """Attempts that the claim counted: an exhausted task is claimed without another one."""
        return 0 if self.exhausted else 1
