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
from task_platform.api.problems import said_of
from task_platform.domain.task import NewTask, State, Task
from task_platform.errors import InvalidInput
from task_platform.handlers.registry import HandlerRegistry

M = TypeVar("M", bound=BaseModel)

MAX_BATCH = 1_000
# Visible ASCII, without the quotes that the header's structured form puts around a key.
KEY_PATTERN = r"^[\x21\x23-\x7e]{1,255}$"

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

    idempotency_key: IdempotencyKey | None = None


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


class PageOut(BaseModel):
    """Tasks, newest first."""

    items: list[TaskOut]
    next_cursor: UUID | None = Field(description="Pass as `cursor` to go on; null at the end.")


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    pointer: str | None = Field(None, description="JSON pointer of the offending place.")


class BatchItemOut(BaseModel):
    """The answer to one submission of a batch: `task` for 200 and 201, otherwise `error`."""

    status: Literal[200, 201, 422, 503]
    task: TaskOut | None
    error: ProblemOut | None


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
        return self._to_task(item, tenant, item.idempotency_key, place)

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
        "created_at": task.created_at,
        "due_at": task.due_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "replay_of": task.replay_of,
    }


def new_task_view(task: NewTask, created_at: datetime) -> dict[str, Any]:
    """A task that was committed just now, without asking the database again."""
    return task_view(
        Task(
            id=task.id,
            tenant=task.tenant,
            task_type=task.task_type,
            payload=task.payload,
            max_retries=task.max_retries,
            state=State.QUEUED,
            attempts=0,
            result=None,
            error=None,
            created_at=created_at,
            due_at=created_at,
            started_at=None,
            finished_at=None,
        )
    )


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
