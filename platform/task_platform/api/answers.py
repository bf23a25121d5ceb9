"""What comes of a submission, as it is counted and answered: alone, or in its place in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from task_platform.api.problems import EXPIRES_HEADER, problem_of, timestamp
from task_platform.api.schemas import task_view
from task_platform.domain.task import NewTask
from task_platform.errors import ClientError, KeyHeld
from task_platform.metrics import ApiMetrics
from task_platform.storage.submissions import Created, Replayed, Submitted


@dataclass(frozen=True, slots=True)
class _Settled:
    """An accepted submission as it is answered."""

    status: int
    view: dict[str, Any]
    key_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to submissions, each of them counted."""

    metrics: ApiMetrics

    def alone(self, task: NewTask, outcome: Submitted) -> Response:
        """The answer to a task that came alone. Raises KeyHeld."""
        settled = self._settled(task, outcome)
        headers = {"Location": f"/tasks/{settled.view['id']}"}
        if settled.status == 200:
            headers["Idempotency-Replayed"] = "true"
        if settled.key_expires_at is not None:
            headers[EXPIRES_HEADER] = timestamp(settled.key_expires_at)
        return json_response(settled.view, settled.status, headers)

    def item(self, task: NewTask | ClientError, outcome: Submitted | Exception) -> dict[str, Any]:
        """The answer to an item of a batch, ready for encoding."""
        if isinstance(task, NewTask) and isinstance(outcome, Created | Replayed):
            settled = self._settled(task, outcome)
            return _item(settled.status, settled.key_expires_at, view=settled.view)
        assert isinstance(outcome, Exception)
        self.count_refused(outcome)
        problem = problem_of(outcome)
        expires_at = outcome.key_expires_at if isinstance(outcome, KeyHeld) else None
        return _item(problem["status"], expires_at, problem=problem)

    def count_refused(self, error: Exception, submissions: int = 1) -> None:
        """Count submissions that were not accepted."""
        reason = "client" if isinstance(error, ClientError) else "unavailable"
        self.metrics.refused.labels(reason).inc(submissions)

    def _settled(self, task: NewTask, outcome: Submitted) -> _Settled:
        match outcome:
            case Created():
                self.metrics.accepted.labels("created").inc()
                view = task_view(task.committed(outcome.created_at))
                return _Settled(201, view, outcome.key_expires_at)
            case Replayed():
                self.metrics.accepted.labels("replayed").inc()
                return _Settled(200, task_view(outcome.task), outcome.key_expires_at)
            case KeyHeld():
                raise outcome


def _item(
    status: int,
    key_expires_at: datetime | None,
    *,
    view: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
) -> dict[str, Any]:
    expires_at = None if key_expires_at is None else timestamp(key_expires_at)
    return {
        "status": status,
        "task": view,
        "error": problem,
        "idempotency_expires_at": expires_at,
    }


def json_response(value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """The value as JSON."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
