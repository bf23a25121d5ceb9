"""Records for tests: each factory makes a plausible one, and takes whatever a test cares about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from task_platform import strict_json
from task_platform.domain.task import ClaimedTask, NewTask
from task_platform.handlers.registry import Handler, Lane
from task_platform.storage.outcomes import Failure, Success
from task_platform.worker.work import Assignment, ClaimInHand, Delivery
from uuid_utils.compat import uuid7

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def new_task(**fields: Any) -> NewTask:
    """A validated submission. payload: any JSON value."""
    payload = fields.pop("payload", {"numbers": [1, 2, 3]})
    task = NewTask(
        id=uuid7(),
        tenant="default",
        task_type="sum",
        payload=strict_json.dumps(payload),
        max_retries=3,
    )
    return replace(task, **fields)


def keyed_task(key: str, **fields: Any) -> NewTask:
    """A submission with an idempotency key; equal payloads have equal fingerprints."""
    task = new_task(**fields)
    print_of = strict_json.fingerprint([task.task_type, task.payload, task.max_retries])
    return replace(task, idempotency_key=key, fingerprint=print_of)


def claimed_task(**fields: Any) -> ClaimedTask:
    """A task as a claim returns it. payload: JSON text."""
    task = ClaimedTask(
        id=uuid7(),
        task_type="sum",
        payload='{"numbers":[1,2,3]}',
        max_retries=3,
        attempt=1,
        fence=1,
        exhausted=False,
        created_at=NOON,
        due_at=NOON,
        claimed_at=NOON,
    )
    return replace(task, **fields)


def assignment(task: ClaimedTask | None = None, **fields: Any) -> Assignment:
    """A task in a worker's hands; `fields` go to the claimed task."""
    task = task or claimed_task(**fields)
    return Assignment(task, ClaimInHand(1, 1), Delivery(task.id, 1, 1), monotonic())


def success(task: ClaimedTask, result: str = '{"sum":6}') -> Success:
    """The outcome of an attempt that succeeded."""
    return Success(task, result, started_at=task.claimed_at, service_s=0.0)


def failure(task: ClaimedTask, *, retry_in_s: float | None = None, **fields: Any) -> Failure:
    """The outcome of an attempt that failed: dead unless there is a delay to the next one."""
    outcome = Failure(
        task,
        error_type="RuntimeError",
        message="told to fail",
        retry_in_s=retry_in_s,
        started_at=task.claimed_at,
        ended_at=task.claimed_at,
    )
    return replace(outcome, **fields)


def handler(task_type: str, function: Callable[..., Any], **fields: Any) -> Handler:
    """A task type that takes the plain payload, inline unless said otherwise."""
    made = Handler(
        task_type=task_type,
        function=function,
        payload=None,
        lane=Lane.INLINE,
        timeout_s=None,
        retry=None,
        takes_context=False,
    )
    return replaced(made, **fields)


def some_ids(count: int) -> list[UUID]:
    """Ids of tasks that do not exist."""
    return [uuid4() for _ in range(count)]
