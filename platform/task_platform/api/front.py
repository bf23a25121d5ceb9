"""The application, with a way past the framework for the one request that comes by the thousands.

FastAPI's middlewares, routing and dependencies take 45 µs for each request, a third of what a
submission costs. They do nothing for it that its endpoint does not do: the body is read and checked
by our own rules, and every error is answered here as they would have it answered. The endpoint is
a route like the others all the same, for the documentation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from task_platform.api.problems import answer_to
from task_platform.errors import ClientError, TransientError

log = structlog.get_logger()


class Application(FastAPI):
    """FastAPI, but for requests that `hot` names, which go straight to its endpoint."""

    hot: tuple[str, str, Callable[[Request], Awaitable[Response]]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. hot: its method, its path, its endpoint."""
        if self.hot is not None and scope["type"] == "http":
            method, path, endpoint = self.hot
            if scope["path"] == path and scope["method"] == method:
                response = await _answered(endpoint, Request(scope, receive))
                await response(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


async def _answered(
    endpoint: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    try:
        return await endpoint(request)
    except (ClientError, TransientError) as error:
        return answer_to(error)
    except Exception as error:
        log.error("unexpected error", route=request.scope["path"], exc_info=error)
        return answer_to(error)
