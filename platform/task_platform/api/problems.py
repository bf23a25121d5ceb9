"""Every error answer is `application/problem+json` (RFC 9457) with a stable `type`.

None of them echoes raw input, names of tables, or the text of a driver's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from task_platform.api.requests import FORMS, InvalidParameter
from task_platform.errors import ClientError, KeyHeld, Overloaded, TransientError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
EXPIRES_HEADER = "Idempotency-Expires"
RETRY_AFTER_S = 1
MAX_POINTER = 300

MAX_PARAMETER = 100

# Instead of words that quote the input, or name what is ours.
_IN_OUR_WORDS = {
    "uuid_parsing": "Input should be a valid UUID",
    "union_tag_invalid": "Input should have one of the expected tags",
    "string_pattern_mismatch": "String should have the expected form",
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dataclass_type", "is_instance_of"),
        "Input should be an object",
    ),
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


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    pointer: str | None = None,
    parameter: str | None = None,
) -> dict[str, Any]:
    """The members of a problem. kind: stable last part of its `type`.

    pointer: into the body. parameter: a header, or a parameter of the query or the path.
    """
    members: dict[str, Any] = {
        "type": PREFIX + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if pointer is not None:
        # It names keys that the client chose, of any length: then it is the place around them.
        is_long = len(pointer) > MAX_POINTER
        members["pointer"] = pointer[: MAX_POINTER + 1].rpartition("/")[0] if is_long else pointer
    if parameter is not None:
        members["parameter"] = parameter[:MAX_PARAMETER]
    return members


@lru_cache(maxsize=1_024)
def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds. moment: in UTC.

    Remembered: those who share a commit share their times.
    """
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def said_of(error: Mapping[str, Any]) -> str:
    """What an error of pydantic says, without pieces of the input, patterns, or names of classes.

    error: with its context.
    """
    form = FORMS.get(error.get("ctx", {}).get("pattern"))
    return form or _IN_OUR_WORDS.get(error["type"], str(error["msg"]))


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem that tells a client of this error."""
    match error:
        case InvalidParameter():
            return problem(error.status, error.kind, error.detail, parameter=error.parameter)
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


def answer_to(error: Exception) -> Response:
    """The HTTP answer to an error of ours, or to any other."""
    if isinstance(error, KeyHeld):
        expires = {EXPIRES_HEADER: timestamp(error.key_expires_at)}
        return problem_response(problem_of(error), **expires)
    return problem_response(problem_of(error))


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""

    @app.exception_handler(ClientError)
    @app.exception_handler(TransientError)
    async def on_our_error(_: Request, error: Exception) -> Response:
        return answer_to(error)

    @app.exception_handler(RequestValidationError)
    async def on_bad_parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        _where, name, *_rest = first["loc"]
        return problem_response(problem_of(InvalidParameter(said_of(first), parameter=str(name))))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        kind = phrase.lower().replace(" ", "-")
        answer = problem_response(problem(error.status_code, kind, phrase))
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router asks no further than the first route that has the path.
            answer.headers["Allow"] = ", ".join(sorted(_methods_at(request)))
        return answer

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        # The route as it was declared, not the path, which is the client's text.
        route = getattr(request.scope.get("route"), "path", None)
        log.error("unexpected error", route=route, exc_info=error)
        return problem_response(problem_of(error))


def _methods_at(request: Request) -> set[str]:
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
