"""What the OpenAPI description says beyond the models: answers, headers, links."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from task_platform.api import schemas
from task_platform.api.problems import MEDIA_TYPE
from task_platform.api.requests import KEY_PATTERN

Responses = dict[int | str, dict[str, Any]]

_STRING = {"type": "string"}
_EXPIRES = {
    "description": "With a key: when it is free again (RFC 3339, UTC).",
    "schema": {"type": "string", "format": "date-time"},
}
_HEADERS: Responses = {
    201: {
        "Location": {
            "description": "Where to follow the task.",
            "required": True,
            "schema": _STRING,
        },
        "Idempotency-Expires": _EXPIRES,
    },
    410: {"Idempotency-Expires": _EXPIRES},
    422: {"Idempotency-Expires": _EXPIRES},
    503: {
        "Retry-After": {
            "description": "Seconds to wait before the next try.",
            "required": True,
            "schema": {"type": "integer", "minimum": 0},
        }
    },
}
_REASONS = {
    400: "Not JSON, or not HTTP",
    404: "No such task",
    410: "Accepted before under this key, and removed since",
    413: "The body is too large",
    415: "Not declared as JSON, or encoded",
    422: "A rule is broken; `pointer` or `parameter` names the place",
    503: "Try again after a pause",
}
_GET_TASK_LINK = {
    "operationId": "get_task",
    "parameters": {"task_id": "$response.body#/id"},
    "description": "Follow the task.",
}

KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Bare, or quoted as a structured string; a repeat answers 200 with the task.",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}


def problems(*statuses: int, keyed: bool = False) -> Responses:
    """Error answers with these statuses. keyed: they may tell when a key expires."""
    return {
        status: {
            "description": _REASONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
            "headers": _HEADERS[status] if status == 503 or keyed else {},
        }
        for status in statuses
    }


SUBMIT: Responses = {
    201: {
        "model": schemas.TaskOut,
        "description": "Committed",
        "headers": _HEADERS[201],
        "links": {"GetTask": _GET_TASK_LINK},
    },
    200: {
        "model": schemas.TaskOut,
        "description": "A repeat: the task as it is now",
        "headers": _HEADERS[201] | {"Idempotency-Replayed": {"schema": {"enum": ["true"]}}},
        "links": {"GetTask": _GET_TASK_LINK},
    },
    **problems(400, 413, 415, 503),
    **problems(410, 422, keyed=True),
}
BATCH: Responses = {
    200: {
        "model": schemas.BatchOut,
        "description": "An answer for each item, in order",
        "links": {
            "GetTask": {
                "operationId": "get_task",
                "parameters": {"task_id": "$response.body#/items/0/task/id"},
            }
        },
    },
    **problems(400, 413, 415, 422, 503),
}
GET: Responses = {
    200: {"model": schemas.TaskDetailOut, "description": "The task as it is now"},
    **problems(404, 422, 503),
}
LIST: Responses = {
    200: {
        "model": schemas.PageOut,
        "description": "A page",
        "links": {
            "NextPage": {
                "operationId": "list_tasks",
                "parameters": {"cursor": "$response.body#/next_cursor"},
            }
        },
    },
    **problems(422, 503),
}


def body(model: type[BaseModel]) -> dict[str, Any]:
    """The description of a request body that our own rules read and check.

    Models within the model are written out: the application does not know them as its own.
    """
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def written_out(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return written_out(parts[value["$ref"].rpartition("/")[2]])
            return {name: written_out(member) for name, member in value.items()}
        return [written_out(item) for item in value] if isinstance(value, list) else value

    return {"required": True, "content": {"application/json": {"schema": written_out(schema)}}}
