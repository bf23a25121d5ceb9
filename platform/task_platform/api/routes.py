"""The endpoints: request, validated task, group commit, answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from task_platform.api import openapi, schemas
from task_platform.api.answers import Answers, json_response
from task_platform.api.batches import cut, read_items
from task_platform.api.edge import Edge
from task_platform.api.group_commit import GroupCommit
from task_platform.api.requests import (
    key_from_header,
    read_json_body,
    refuse_key_header,
    refuse_other_parameters,
)
from task_platform.domain.task import NewTask, State
from task_platform.errors import ClientError, NotFound, TransientError
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.reads import get_task, list_tasks

TENANT = "default"
MAX_PAGE = 200
BATCH_PATH = "/tasks/batch"


class _TaskRoute(APIRoute):
    """Tasks by their id; the path of batches is none."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE, {}) if scope.get("path") == BATCH_PATH else super().matches(scope)


def _digits(value: Any) -> Any:
    # Python's own integers may also be written `+5`, `1_0`, ` 5` and `5.0`.
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise PydanticCustomError("digits", "Input should be digits")
    return value


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoints and what they work with."""

    pool: Pool
    commit: GroupCommit
    edge: Edge
    settings: Settings
    answers: Answers

    def install(self, app: FastAPI) -> None:
        """Add the endpoints to the app.

        Bodies are read and checked by our own rules, so the request models are only documented.
        """
        add = partial(app.router.add_api_route, tags=["tasks"])
        # GET is answered to HEAD as well, like everything that is not listed here.
        add_head = partial(add, methods=["HEAD"], include_in_schema=False)
        add(
            "/tasks",
            self.post_task,
            methods=["POST"],
            status_code=201,
            summary="Submit a task",
            operation_id="post_task",
            responses=openapi.SUBMIT,
            openapi_extra={
                "requestBody": openapi.body(schemas.TaskIn),
                "parameters": [openapi.KEY_PARAMETER],
            },
        )
        add(
            BATCH_PATH,
            self.post_batch,
            methods=["POST"],
            summary="Submit up to 1,000 tasks, answered item by item",
            operation_id="post_batch",
            responses=openapi.BATCH,
            openapi_extra={"requestBody": openapi.body(schemas.BatchIn)},
        )
        add(
            "/tasks/{task_id}",
            self.get_task,
            methods=["GET"],
            summary="One task as it is now",
            operation_id="get_task",
            responses=openapi.GET,
            route_class_override=_TaskRoute,
        )
        add_head("/tasks/{task_id}", self.get_task, route_class_override=_TaskRoute)
        add(
            "/tasks",
            self.list_tasks,
            methods=["GET"],
            summary="Tasks, newest first",
            operation_id="list_tasks",
            responses=openapi.LIST,
        )
        add_head("/tasks", self.list_tasks)

    async def post_task(self, request: Request) -> Response:
        """Commit a task; it survives anything from the moment of the answer on."""
        try:
            key = key_from_header(request)
            body = await read_json_body(request, self.settings.max_body_bytes)
            task = self.edge.new_task(body, tenant=TENANT, key=key)
            outcome = await self.commit.submit(task)
            return self.answers.alone(task, outcome)
        except (ClientError, TransientError) as error:
            self.answers.count_refused(error)
            raise

    async def post_batch(self, request: Request) -> Response:
        """Commit many tasks at once. One bad item does not harm the others."""
        submissions = 1
        try:
            refuse_key_header(request)
            items = cut(await read_json_body(request, self.settings.max_batch_body_bytes))
            tasks = await read_items(
                self.edge, items, tenant=TENANT, most_bytes=self.settings.max_body_bytes
            )
            valid = [task for task in tasks if isinstance(task, NewTask)]
            submissions = len(valid)
            outcomes = iter(await self.commit.submit_batch(valid) if valid else ())
        except (ClientError, TransientError) as error:
            self.answers.count_refused(error, submissions)
            raise
        answers = [
            self.answers.item(task, next(outcomes) if isinstance(task, NewTask) else task)
            for task in tasks
        ]
        return json_response({"items": answers}, 200)

    async def get_task(
        self, task_id: Annotated[UUID, Path(description="The task's id.")]
    ) -> Response:
        """The task, its state, its result or error, and the attempts that did not succeed."""
        detail = await get_task(self.pool, tenant=TENANT, task_id=task_id)
        if detail is None:
            raise NotFound("no task of this id")
        return json_response(schemas.task_detail_view(detail), 200)

    async def list_tasks(
        self,
        request: Request,
        state: Annotated[State | None, Query()] = None,
        task_type: Annotated[schemas.TaskType | None, Query()] = None,
        limit: Annotated[int, BeforeValidator(_digits), Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[UUID | None, Query(description="`next_cursor` of a page.")] = None,
    ) -> Response:
        """One page; it may be short, even empty, and still have a next one."""
        refuse_other_parameters(request, ("state", "task_type", "limit", "cursor"))
        page = await list_tasks(
            self.pool, tenant=TENANT, before=cursor, state=state, task_type=task_type, limit=limit
        )
        view = {
            "items": [schemas.task_view(task) for task in page.tasks],
            "next_cursor": page.next_cursor,
        }
        return json_response(view, 200)
