"""Several requests on one connection: each is read where it begins, and answered in its turn."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import AsyncExitStack
from typing import Any

import pytest
from task_platform.api.http_protocol import BoundedHttpProtocol
from task_platform.service import serving
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .wire import BODY, CHUNKED, GET, HEAD, LENGTH, HastyProtocol, Wire, served, wired

POST = HEAD + LENGTH % len(BODY) + BODY
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
WEBSOCKET = b"Connection: keep-alive, upgrade\r\nUPGRADE: websocket\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers when the body is there, and to `/slow` a moment later."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"ok"})


def echo(text: str) -> bytes:
    """A body that can be told from others."""
    return json.dumps({"task_type": "echo", "payload": text}).encode()


async def trickle(wire: Wire, request: bytes) -> None:
    """Send it in pieces that end anywhere."""
    for start in range(0, len(request), 7):
        await wire.send(request[start : start + 7])
        await asyncio.sleep(0)


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("how", ["at once", "body later", "in pieces"])
async def test_a_request_that_wants_another_protocol_keeps_its_body(
    wire: Wire, upgrade: bytes, is_chunked: bool, how: str
) -> None:
    head = HEAD + upgrade + (CHUNKED if is_chunked else LENGTH % len(BODY))
    body = CHUNKS if is_chunked else BODY
    if how == "at once":
        await wire.send(head, body)
    elif how == "body later":
        await wire.send(head)
        await asyncio.sleep(0.1)
        await wire.send(body)
    else:
        await trickle(wire, head + body)
    answer = await wire.answer()
    assert answer.status == 201
    assert json.loads(answer.body)["payload"] == 1
    await wire.send(GET)
    assert (await wire.answer()).body == b"ok"


async def test_a_body_behind_an_upgrade_is_never_read_as_a_request(wire: Wire) -> None:
    body = b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n"
    await wire.send(HEAD, H2C, LENGTH % len(body))
    await asyncio.sleep(0.1)
    await wire.send(body)
    (await wire.answer()).problem(400, "malformed-json")
    await wire.send(GET)
    assert (await wire.answer()).body == b"ok"


async def test_many_upgrades_at_once_are_all_answered(wire: Wire) -> None:
    await wire.send(GET.replace(b"\r\n\r\n", b"\r\n" + H2C + b"\r\n") * 1_500)
    for _ in range(1_500):
        assert (await wire.answer()).body == b"ok"


@pytest.mark.parametrize("how", ["at once", "trailer later"])
async def test_a_trailer_is_no_header(wire: Wire, how: str) -> None:
    trailer = b"Idempotency-Key: %s\r\nHost: other\r\n\r\n" % secrets.token_hex(8).encode()
    start, end = CHUNKS[:-2], trailer
    for _ in range(2):
        await wire.send(HEAD, CHUNKED)
        if how == "trailer later":
            await wire.send(start)
            await asyncio.sleep(0.05)
            await wire.send(end)
        else:
            await wire.send(start, end)
        answer = await wire.answer()
        assert answer.status == 201
        assert "idempotency-expires" not in answer.headers
    await wire.send(POST)
    assert "idempotency-expires" not in (await wire.answer()).headers


GARBAGE = {
    "no request": b"and more than announced",
    "no head": b"GET /tasks HTTP/1.1\r\nHo st: api\r\n\r\n",
    "no length": HEAD + b"Content-Length: nope\r\n\r\n",
    "no chunk": HEAD + CHUNKED + b"zz\r\n",
    "no host": b"GET /tasks HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_was_asked_before_the_garbage_is_answered_and_the_last_in09(
    wire: Wire, garbage: bytes, count: int
) -> None:
    texts = [secrets.token_hex(8) for _ in range(count)]
    bodies = [echo(text) for text in texts]
    await wire.send(*(HEAD + LENGTH % len(body) + body for body in bodies), garbage)
    for text in texts:
        answer = await wire.answer()
        assert answer.status == 201
        assert json.loads(answer.body)["payload"] == text
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


ENDS = {"in a head": b"GET /heal", "in a body": HEAD + LENGTH % 100 + b"{", "after all": b""}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_what_was_asked_before_the_end_is_answered_and_the_last_in09(
    wire: Wire, end: bytes, count: int
) -> None:
    # Nobody answers between the two, however late this process gets its turn.
    wire.send_and_end(POST * count, end)
    for _ in range(count):
        answer = await wire.answer()
        assert answer.status == 201
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


class EndedProtocol(BoundedHttpProtocol):
    """Finds the end of the client's side in the very turn of the loop that answers.

    The loop then closes what it knows as the connection.
    """

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.eof_received():
            self._gathered.connection.close()


async def test_an_end_in_the_turn_of_the_answer_takes_nothing_of_it_in09(
    settings: Settings,
) -> None:
    async with served(settings, EndedProtocol) as port, wired(port) as wire:
        await wire.send(POST)
        answer = await wire.answer()
        assert (answer.status, json.loads(answer.body)["payload"]) == (201, 1)
        assert await wire.is_closed()


async def test_garbage_and_then_the_end_take_no_answer_away_in09(
    wire: Wire, settings: Settings, pool: Pool
) -> None:
    async with served(settings) as port, wired(port) as slow:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table tasks in access exclusive mode")
            await slow.send(POST, b"garbage")
            await asyncio.sleep(0.2)
            slow.end()
            await asyncio.sleep(0.2)
        answer = await slow.answer()
        assert (answer.status, answer.headers["connection"]) == (201, "close")
        assert await slow.is_closed()


async def test_a_body_that_comes_late_behind_others_takes_no_answer_away(
    hasty: Wire, pool: Pool
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table tasks in access exclusive mode")
        await hasty.send(POST, HEAD, LENGTH % 100, b"{")
        await asyncio.sleep(2 * HastyProtocol.body_within_s)
    assert (await hasty.answer()).status == 201
    assert await hasty.is_closed(within_s=3)


REFUSED_EARLY = {
    "type": (HEAD.replace(b"application/json", b"text/plain"), 415, "unsupported-media-type"),
    "key": (HEAD + b'Idempotency-Key: "\r\n', 422, "invalid-parameter"),
    "path": (HEAD.replace(b"/tasks", b"/nope"), 404, "not-found"),
    "method": (HEAD.replace(b"POST", b"PUT"), 405, "method-not-allowed"),
    "size": (HEAD, 413, "body-too-large"),
}


@pytest.mark.parametrize(
    ("head", "status", "kind"), REFUSED_EARLY.values(), ids=REFUSED_EARLY.keys()
)
async def test_a_refusal_before_the_end_of_the_body_says_that_it_is_the_last(
    wire: Wire, head: bytes, status: int, kind: str
) -> None:
    await wire.send(head, LENGTH % 5_000_000)
    answer = await wire.answer()
    answer.problem(status, kind)
    assert answer.headers["connection"] == "close"
    # What it goes on sending is read for a while, or the client might not come to read that.
    await wire.send(b" " * 4_000_000)
    assert await wire.is_closed()


async def test_a_refusal_of_a_request_that_came_whole_keeps_the_connection(wire: Wire) -> None:
    head = HEAD.replace(b"application/json", b"text/plain")
    for _ in range(2):
        await wire.send(head, LENGTH % len(BODY), BODY)
        answer = await wire.answer()
        answer.problem(415, "unsupported-media-type")
        assert "connection" not in answer.headers
    await wire.send(head, LENGTH % len(BODY), BODY[:5])
    assert (await wire.answer()).headers["connection"] == "close"


async def test_a_request_whose_body_comes_later_keeps_the_connection(wire: Wire) -> None:
    for _ in range(2):
        await wire.send(HEAD, LENGTH % len(BODY))
        await asyncio.sleep(0.05)
        await wire.send(BODY)
        answer = await wire.answer()
        assert answer.status == 201
        assert "connection" not in answer.headers
    await wire.send(HEAD, b"Connection: close\r\n", LENGTH % len(BODY))
    await asyncio.sleep(0.05)
    await wire.send(BODY)
    assert (await wire.answer()).headers["connection"] == "close"
    assert await wire.is_closed()


async def test_head_is_answered_as_get_without_a_body(wire: Wire) -> None:
    await wire.send(POST)
    location = (await wire.answer()).headers["location"].encode()
    for target in (location, b"/tasks?limit=1", b"/tasks/x", b"/healthz", b"/openapi.json"):
        await wire.send(b"HEAD %s HTTP/1.1\r\nHost: api\r\n\r\n" % target)
        head = await wire.answer(has_body=False)
        await wire.send(b"GET %s HTTP/1.1\r\nHost: api\r\n\r\n" % target)
        got = await wire.answer()
        assert head.status == got.status == (422 if target == b"/tasks/x" else 200)
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_a_body_that_was_coming_when_the_server_stopped_is_the_last() -> None:
    async with AsyncExitStack() as server:
        port = await server.enter_async_context(
            serving(slow_app, "127.0.0.1", 0, protocol=BoundedHttpProtocol)
        )
        async with wired(port) as wire:
            await wire.send(HEAD, LENGTH % 4, b"12")
            await asyncio.sleep(0.1)
            stopping = asyncio.create_task(server.aclose())
            await asyncio.sleep(0.2)
            await wire.send(b"34")
            assert (await wire.answer()).headers["connection"] == "close"
            assert await wire.is_closed(within_s=4)
            await stopping


class QuicklyIdle(BoundedHttpProtocol):
    """The protocol with a time for idle connections that is shorter than that for a head."""

    headers_within_s = 1.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = 0.2  # type: ignore[assignment]


async def test_a_head_that_begins_before_the_last_answer_has_its_own_time() -> None:
    async with (
        serving(slow_app, "127.0.0.1", 0, protocol=QuicklyIdle) as port,
        wired(port) as wire,
    ):
        await wire.send(b"GET /slow HTTP/1.1\r\nHost: api\r\n\r\nPOST /x HTTP/1.1\r\nHost: api\r\n")
        assert (await wire.answer()).body == b"ok"
        (await wire.answer(within_s=4)).problem(408, "request-timeout")
