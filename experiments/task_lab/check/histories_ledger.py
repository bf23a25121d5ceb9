"""The two sides of a history: what its clients saw, and what the platform's ledger says of it.

Ids are text. What a record is for stands with its first field; nothing here judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from task_platform.domain.task import State


@dataclass(frozen=True, slots=True)
class Operation:
    """One submission as its client saw it.

    key: its idempotency key, unique in the history.
    outcome: ok (answered 201 or 200), failed (answered 4xx), unknown (anything else).
    task_id: the answered task when ok, else None.
    expected: how the task must end where it exists.
    """

    key: str
    task_type: str
    payload: Any
    max_retries: int
    outcome: Literal["ok", "failed", "unknown"]
    task_id: str | None
    expected: Literal["SUCCEEDED", "FAILED"]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the ledger has it.

    payload, result: JSON text. replay_of: the dead task it repeats.
    """

    id: str
    task_type: str
    payload: str
    max_retries: int
    state: State
    attempts: int
    fence: int
    result: str | None = None
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A row of `attempt_failures`. outcome: retried, dead or worker_lost."""

    task_id: str
    fence: int
    attempt: int
    outcome: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row of `dead_letters`; open until it is replayed or purged.

    resolution: replayed or purged. replayed_as: the task that repeats it.
    """

    task_id: str
    is_open: bool
    resolution: str | None = None
    replayed_as: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEffect:
    """A row of `effect_log`. kind: started or guarded."""

    task_id: str
    fence: int
    kind: str


@dataclass(frozen=True, slots=True)
class RecordedEffect:
    """A row of `effects`: what a handler did under `once`."""

    task_id: str
    name: str
    fence: int


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A row of `claims`. is_expired: nobody renews it any more."""

    owner: str
    task_ids: tuple[str, ...]
    is_expired: bool


@dataclass(frozen=True, slots=True)
class UnsentRow:
    """A row of `outbox`."""

    queue: str
    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """What the witness saw of one task: its row after a change, in the order of the changes.

    before: the state until then, None at the insert. after: None at a delete.
    seen_at: unix seconds, by the database's clock. due_in_s: when the task is due, counted from the
    transaction that changed it; negative for a claim that comes later. None where it was not noted.
    """

    task_id: str
    before: State | None
    after: State | None
    fence: int
    attempts: int
    seen_at: float = 0.0
    due_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Permitted:
    """What may have happened besides, by the word of whoever made the history."""

    replays: bool = False
    purges: bool = False
    key_expiry: bool = False


NOTHING_ELSE = Permitted()


@dataclass(frozen=True)
class Ledger:
    """Everything read back once the platform has come to rest.

    keys: idempotency key → the tasks that hold it. transitions: of each task in their order.
    dlq_ids: the task ids that `tasks.dlq` holds. tasks_depth: messages ready in `tasks`.
    """

    tasks: Sequence[TaskRow]
    keys: Mapping[str, Sequence[str]]
    failures: Sequence[FailedAttempt]
    dead_letters: Sequence[DeadLetter]
    effect_log: Sequence[LoggedEffect]
    effects: Sequence[RecordedEffect]
    claims: Sequence[OpenClaim]
    outbox: Sequence[UnsentRow]
    transitions: Sequence[Transition]
    dlq_ids: Sequence[str]
    tasks_depth: int
