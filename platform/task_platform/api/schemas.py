"""What clients send and get. Validation happens here, once; nothing behind it checks again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from uuid_utils.compat import uuid7

from task_platform import strict_json
from task_platform.api.problems import KINDS, PREFIX, said_of, timestamp
from task_platform.api.requests import KEY_PATTERN, parse_key
from task_platform.domain.task import NewTask, State, Task
from task_platform.errors import InvalidInput
from task_platform.handlers.registry import HandlerRegistry
from task_platform.storage.reads import MAX_FAILURES, TaskDetail

M = TypeVar("M", bound=BaseModel)

MAX_BATCH = 1_000

TaskType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$")]
IdempotencyKey = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]


class TaskIn(BaseModel):
    """One submission."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_type: TaskType
    payload: Any = Field(default_factory=dict, description="Any JSON value; depth at most 64.")
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
    pointer: str | None = Field(None, description="JSON pointer of the offending place.")


class BatchItemOut(BaseModel):
    """The answer to one submission of a batch: `task` for 200 and 201, otherwise `error`."""

    status: Literal[200, 201, 410, 422, 503]
    task: TaskOut | None
    error: ProblemOut | None
    idempotency_expires_at: datetime | None = Field(
        description="With a key that is held: when it is free again."
    )


class BatchOut(BaseModel):
    """Answers in the order of the submissions."""

    items: list[BatchItemOut]


@dataclass(frozen=True, slots=True)
class Edge:
    """Turns what clients send into tasks, by the rules of this process.

    strict_types: refuse task types this process has no handler for, instead of leaving them to
        workers that may know them.
    """

    handlers: HandlerRegistry
    strict_types: bool = False

    def new_task(self, raw: Any, *, tenant: str, key: str | None) -> NewTask:
        """The validated submission. Raises InvalidInput naming the place."""
        task = _validated(lambda: TaskIn.model_validate(raw), "")
        return self._to_task(task, tenant, key, "")

    def new_batch_task(self, raw: Any, *, tenant: str, index: int) -> NewTask:
        """The same for item `index` of a batch."""
        place = f"/tasks/{index}"
        item = _validated(lambda: BatchItemIn.model_validate(raw), place)
        key = item.idempotency_key
        if key is not None:
            key = parse_key(key, pointer=f"{place}/idempotency_key")
        return self._to_task(item, tenant, key, place)

    def _to_task(self, task: TaskIn, tenant: str, key: str | None, place: str) -> NewTask:
        payload = strict_json.dumps(task.payload)
        handler = self.handlers.get(task.task_type)
        if handler is None and self.strict_types:
            raise InvalidInput("no such task type here", pointer=f"{place}/task_type")
        if handler is not None and (model := handler.payload) is not None:
            # From its text, as the worker reads it: strict fields take other things from JSON.
            _validated(lambda: model.model_validate_json(payload), f"{place}/payload")
        return NewTask(
            id=uuid7(),
            tenant=tenant,
            task_type=task.task_type,
            payload=payload,
            max_retries=task.max_retries,
            idempotency_key=key,
            fingerprint=b"" if key is None else _fingerprint(task),
        )


def _fingerprint(task: TaskIn) -> bytes:
    return strict_json.fingerprint([task.task_type, task.payload, task.max_retries])


def _validated(validate: Callable[[], M], place: str) -> M:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        pointer = "".join("/" + strict_json.pointer_part(part) for part in first["loc"])
        raise InvalidInput(said_of(first), pointer=place + pointer) from None


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
