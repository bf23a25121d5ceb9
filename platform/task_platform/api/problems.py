"""Every error answer is `application/problem+json` (RFC 9457) with a stable `type`.

None of them echoes raw input, names of tables, or the text of a driver's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from task_platform.errors import ClientError, KeyHeld, Overloaded, TransientError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
EXPIRES_HEADER = "Idempotency-Expires"
RETRY_AFTER_S = 1
MAX_POINTER = 300

_WITHOUT_INPUT = {
    "uuid_parsing": "Input should be a valid UUID",
    "union_tag_invalid": "Input should have one of the expected tags",
}


KINDS = (
    "malformed-request",
    "malformed-json",
    "incomplete-request",
    "not-found",
    "task-not-found",
    "method-not-allowed",
    "request-timeout",
    "task-pruned",
    "body-too-large",
    "unsupported-media-type",
    "invalid-input",
    "invalid-parameter",
    "idempotency-key-reused",
    "request-header-fields-too-large",
    "internal",
    "overloaded",
    "unavailable",
)
PREFIX = "urn:task-platform:problem:"


def problem(status: int, kind: str, detail: str, *, pointer: str | None = None) -> dict[str, Any]:
    """The members of a problem. kind: stable last part of its `type`."""
    members: dict[str, Any] = {
        "type": PREFIX + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if pointer is not None:
        # It names keys that the client chose, of any length.
        members["pointer"] = pointer[:MAX_POINTER]
    return members


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds. moment: in UTC."""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def said_of(error: Mapping[str, Any]) -> str:
    """What an error of pydantic says, without the pieces of input that a few of them quote."""
    return _WITHOUT_INPUT.get(error["type"], str(error["msg"]))


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem that tells a client of this error."""
    match error:
        case ClientError():
            return problem(error.status, error.kind, error.detail, pointer=error.pointer)
        case Overloaded():
            return problem(503, "overloaded", "too many submissions are waiting; try again")
        case TransientError():
            return problem(503, "unavailable", "the database does not answer; try again")
        case _:
            return problem(500, "internal", "an unexpected error; it has been logged")


def problem_response(members: dict[str, Any], **headers: str) -> Response:
    """The HTTP answer that carries a problem."""
    if members["status"] == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(
        msgspec.json.encode(members),
        status_code=members["status"],
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""

    @app.exception_handler(ClientError)
    @app.exception_handler(TransientError)
    async def on_our_error(_: Request, error: Exception) -> Response:
        if isinstance(error, KeyHeld):
            expires = {EXPIRES_HEADER: timestamp(error.key_expires_at)}
            return problem_response(problem_of(error), **expires)
        return problem_response(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def on_bad_parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"][1:])
        return problem_response(problem(422, "invalid-parameter", said_of(first), pointer=place))

    @app.exception_handler(HTTPException)
    async def on_http_error(_: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        kind = phrase.lower().replace(" ", "-")
        answer = problem_response(problem(error.status_code, kind, phrase))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        log.error("unexpected error", route=request.scope.get("path"), exc_info=error)
        return problem_response(problem_of(error))
