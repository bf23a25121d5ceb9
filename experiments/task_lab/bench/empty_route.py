"""`POST /tasks` that checks its body and answers, and does nothing else: what FastAPI itself costs.

Served as the platform's API is: by the same function, so that every setting of the server is the
same, and with the same care for the collector. Different is only how a connection is spoken to:
here by uvicorn's own protocol over httptools, as anybody's application would be, and not by the
API's, which also bounds what a client may send. Nothing of the route is slower than it must be:
the answer is one text made once.

A process of its own; the first line it prints is its URL. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop
from fastapi import FastAPI
from starlette.responses import Response
from task_platform.api.schemas import TaskIn
from task_platform.service import serving

_BODY = b'{"id":"01890000-0000-7000-8000-000000000000","state":"QUEUED"}'
_HOST = "127.0.0.1"


def application() -> FastAPI:
    """The application with its one route."""
    app = FastAPI()

    @app.post("/tasks", status_code=201)
    async def post_task(task: TaskIn) -> Response:
        return Response(_BODY, 201, media_type="application/json")

    return app


async def serve() -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    end_of_input = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(end_of_input), sys.stdin)
    async with serving(application(), _HOST, 0) as port:
        gc.collect()
        gc.freeze()
        sys.stdout.write(f"http://{_HOST}:{port}\n")
        sys.stdout.flush()
        await end_of_input.read()


if __name__ == "__main__":
    uvloop.run(serve())
