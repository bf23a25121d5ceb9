"""What clients send and get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from task_platform.api.problems import KINDS, PREFIX, timestamp
from task_platform.api.requests import KEY_PATTERN, TYPE_PATTERN
from task_platform.domain.task import State, Task
from task_platform.storage.reads import MAX_FAILURES, TaskDetail

MAX_BATCH = 1_000

TaskType = Annotated[str, StringConstraints(pattern=TYPE_PATTERN)]
IdempotencyKey = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]


class TaskIn(BaseModel):
    """One submission."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_type: TaskType
    payload: Any = Field(default_factory=dict, description="Any JSON value of at most 64 levels.")
    max_retries: Annotated[int, Field(ge=0, le=1_000)] = 3


class BatchItemIn(TaskIn):
    """One submission of a batch."""

    idempotency_key: IdempotencyKey | None = Field(
        None, description="As in the header: bare, or quoted as a structured string."
    )


class BatchIn(BaseModel):
    """Up to 1,000 submissions, answered item by item."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks: Annotated[list[BatchItemIn], Field(min_length=1, max_length=MAX_BATCH)]


class ErrorOut(BaseModel):
    """Why the last attempt did not succeed."""

    type: str
    message: str


class TaskOut(BaseModel):
    """A task as it is now."""

    id: UUID
    task_type: str
    payload: Any
    max_retries: int
    state: State
    attempts: int = Field(description="Executions charged to max_retries so far.")
    result: Any
    error: ErrorOut | None
    created_at: datetime
    due_at: datetime = Field(description="When the next attempt may start, or the last one could.")
    started_at: datetime | None
    finished_at: datetime | None
    replay_of: UUID | None = Field(description="The dead task that this one repeats.")


class FailureOut(BaseModel):
    """An attempt that did not succeed."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime
    outcome: Literal["retried", "dead", "worker_lost"]
    error: ErrorOut


class TaskDetailOut(TaskOut):
    """A task as it is now, and what went wrong so far."""

    failures: list[FailureOut] = Field(
        description=f"The newest {MAX_FAILURES} attempts that did not succeed, oldest first."
    )


class PageOut(BaseModel):
    """Tasks, newest first."""

    items: list[TaskOut]
    next_cursor: UUID | None = Field(description="Pass as `cursor` to go on; null at the end.")


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(json_schema_extra={"enum": [PREFIX + kind for kind in KINDS]})
    title: str
    status: int
    detail: str
    pointer: str | None = Field(
        None, description="JSON pointer (RFC 6901) to the offending place of the body."
    )
    parameter: str | None = Field(
        None, description="Name of the offending header, or parameter of the query or the path."
    )


class BatchItemOut(BaseModel):
    """The answer to one submission of a batch: `task` for 200 and 201, otherwise `error`."""

    status: Literal[200, 201, 410, 413, 422, 503]
    task: TaskOut | None
    error: ProblemOut | None
    idempotency_expires_at: datetime | None = Field(
        description="With a key that is held: when it is free again."
    )


class BatchOut(BaseModel):
    """Answers in the order of the submissions."""

    items: list[BatchItemOut]


def task_view(task: Task) -> dict[str, Any]:
    """A committed task, ready for encoding; payload and result stay the text they are."""
    return {
        "id": task.id,
        "task_type": task.task_type,
        "payload": msgspec.Raw(task.payload.encode()),
        "max_retries": task.max_retries,
        "state": task.state.value,
        "attempts": task.attempts,
        "result": _raw(task.result),
        "error": _raw(task.error),
        "created_at": timestamp(task.created_at),
        "due_at": timestamp(task.due_at),
        "started_at": None if task.started_at is None else timestamp(task.started_at),
        "finished_at": None if task.finished_at is None else timestamp(task.finished_at),
        "replay_of": task.replay_of,
    }


def task_detail_view(detail: TaskDetail) -> dict[str, Any]:
    """A committed task with its failed attempts, ready for encoding."""
    failures = [
        {
            "attempt": failure.attempt,
            "worker": failure.worker,
            "started_at": timestamp(failure.started_at),
            "ended_at": timestamp(failure.ended_at),
            "outcome": failure.outcome,
            "error": {"type": failure.error_type, "message": failure.message},
        }
        for failure in detail.failures
    ]
    return task_view(detail.task) | {"failures": failures}


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
