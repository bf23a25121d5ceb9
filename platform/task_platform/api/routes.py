"""The endpoints: request, validated task, group commit, answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, FastAPI, Path, Query, Request
from starlette.responses import Response

from task_platform import strict_json
from task_platform.api import schemas
from task_platform.api.group_commit import GroupCommit
from task_platform.api.problems import MEDIA_TYPE, problem_of
from task_platform.api.requests import idempotency_key, read_json_body
from task_platform.domain.task import NewTask, State
from task_platform.errors import ClientError, InvalidInput, KeyReused, NotFound, TransientError
from task_platform.metrics import ApiMetrics
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.reads import get_task, list_tasks
from task_platform.storage.submissions import Created, Replayed, Submitted

TENANT = "default"
MAX_PAGE = 200

_PROBLEM: dict[str, Any] = {"model": schemas.ProblemOut, "content": {MEDIA_TYPE: {}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _PROBLEM,
    413: _PROBLEM,
    415: _PROBLEM,
    422: _PROBLEM,
    503: _PROBLEM,
}
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Bare or quoted; a repeat answers 200 with the first task.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 257},
}


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoints and what they work with."""

    pool: Pool
    commit: GroupCommit
    edge: schemas.Edge
    settings: Settings
    metrics: ApiMetrics

    def install(self, app: FastAPI) -> None:
        """Add the endpoints to the app.

        Bodies are read and checked by our own rules, so the request models are only documented.
        """
        router = APIRouter(tags=["tasks"])
        router.add_api_route(
            "/tasks",
            self.post_task,
            methods=["POST"],
            status_code=201,
            summary="Submit a task",
            responses={
                201: {"model": schemas.TaskOut, "description": "Committed"},
                200: {"model": schemas.TaskOut, "description": "A repeat: the task as it is now"},
                **_PROBLEMS,
            },
            openapi_extra={
                "requestBody": _body(schemas.TaskIn),
                "parameters": [_KEY_PARAMETER],
            },
        )
        router.add_api_route(
            "/tasks/batch",
            self.post_batch,
            methods=["POST"],
            summary="Submit up to 1,000 tasks, answered item by item",
            responses={200: {"model": schemas.BatchOut}, **_PROBLEMS},
            openapi_extra={"requestBody": _body(schemas.BatchIn)},
        )
        router.add_api_route(
            "/tasks/{task_id}",
            self.get_task,
            methods=["GET"],
            summary="One task as it is now",
            responses={
                200: {"model": schemas.TaskOut},
                404: _PROBLEM,
                422: _PROBLEM,
                503: _PROBLEM,
            },
        )
        router.add_api_route(
            "/tasks",
            self.list_tasks,
            methods=["GET"],
            summary="Tasks, newest first",
            responses={200: {"model": schemas.PageOut}, 422: _PROBLEM, 503: _PROBLEM},
        )
        app.include_router(router)

    async def post_task(self, request: Request) -> Response:
        """Commit a task; it survives anything from the moment of the answer on."""
        try:
            key = idempotency_key(request)
            body = await read_json_body(request, self.settings.max_body_bytes)
            task = self.edge.new_task(strict_json.loads(body), tenant=TENANT, key=key)
            outcome = await self.commit.submit(task)
            status, view = self._settle(task, outcome)
        except ClientError:
            self.metrics.refused.labels("client").inc()
            raise
        except TransientError:
            self.metrics.refused.labels("unavailable").inc()
            raise
        headers = {"Location": f"/tasks/{view['id']}"}
        if status == 200:
            headers["Idempotency-Replayed"] = "true"
        return _json(view, status, headers)

    async def post_batch(self, request: Request) -> Response:
        """Commit many tasks at once. One bad item does not harm the others."""
        body = await read_json_body(request, self.settings.max_batch_body_bytes)
        items = _batch_items(strict_json.loads(body))
        tasks: list[NewTask | InvalidInput] = []
        for index, item in enumerate(items):
            try:
                tasks.append(self.edge.new_batch_task(item, tenant=TENANT, index=index))
            except InvalidInput as error:
                tasks.append(error)
        valid = [task for task in tasks if isinstance(task, NewTask)]
        outcomes = iter(await self.commit.submit_batch(valid) if valid else ())
        answers = [
            self._answer_item(task, next(outcomes) if isinstance(task, NewTask) else task)
            for task in tasks
        ]
        return _json({"items": answers}, 200)

    async def get_task(
        self, task_id: Annotated[UUID, Path(description="The task's id.")]
    ) -> Response:
        """The task, its state and its result or error."""
        task = await get_task(self.pool, tenant=TENANT, task_id=task_id)
        if task is None:
            raise NotFound("no task of this id")
        return _json(schemas.task_view(task), 200)

    async def list_tasks(
        self,
        state: Annotated[State | None, Query()] = None,
        task_type: Annotated[schemas.TaskType | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[UUID | None, Query(description="`next_cursor` of a page.")] = None,
    ) -> Response:
        """One page; it may be short and still have a next one when matches are rare."""
        page = await list_tasks(
            self.pool, tenant=TENANT, before=cursor, state=state, task_type=task_type, limit=limit
        )
        view = {
            "items": [schemas.task_view(task) for task in page.tasks],
            "next_cursor": page.next_cursor,
        }
        return _json(view, 200)

    def _settle(self, task: NewTask, outcome: Submitted) -> tuple[int, dict[str, Any]]:
        match outcome:
            case Created():
                self.metrics.accepted.labels("created").inc()
                return 201, schemas.new_task_view(task, outcome.created_at)
            case Replayed():
                self.metrics.accepted.labels("replayed").inc()
                return 200, schemas.task_view(outcome.task)
            case KeyReused():
                raise outcome

    def _answer_item(
        self, task: NewTask | InvalidInput, outcome: Submitted | Exception
    ) -> dict[str, Any]:
        if isinstance(task, NewTask) and isinstance(outcome, Created | Replayed):
            status, view = self._settle(task, outcome)
            return {"status": status, "task": view, "error": None}
        assert isinstance(outcome, Exception)
        self.metrics.refused.labels(
            "client" if isinstance(outcome, ClientError) else "unavailable"
        ).inc()
        problem = problem_of(outcome)
        return {"status": problem["status"], "task": None, "error": problem}


def _batch_items(value: Any) -> Sequence[Any]:
    if not isinstance(value, dict) or set(value) != {"tasks"}:
        raise InvalidInput("send an object with the one member `tasks`")
    items = value["tasks"]
    if not isinstance(items, list) or not 1 <= len(items) <= schemas.MAX_BATCH:
        raise InvalidInput(f"1 to {schemas.MAX_BATCH} tasks", pointer="/tasks")
    return items


def _body(model: type[Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _json(value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
