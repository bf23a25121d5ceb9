"""What a server meets on the open wire: broken, endless, slow and lying requests."""

from __future__ import annotations

import asyncio
import gzip
import secrets

import pytest
from task_platform.api.http_head import MAX_HEAD_BYTES
from task_platform.api.http_protocol import BoundedHttpProtocol
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .wire import BODY, CHUNKED, GET, HEAD, LENGTH, HastyProtocol, Wire, served, wired


async def test_a_request_is_answered_and_the_connection_kept(wire: Wire) -> None:
    for _ in range(2):
        await wire.send(HEAD, LENGTH % len(BODY), BODY)
        assert (await wire.answer()).status == 201
    await wire.send(HEAD, CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert (await wire.answer()).status == 201


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /tasks HTTP/9.9\r\nHost: api\r\n\r\n",
        b"get /tasks HTTP/1.1\r\nHost: api\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"CONNECT api:80 HTTP/1.1\r\nHost: api\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /tasks HTTP/2.0\r\nHost: api\r\n\r\n",
        b"GET /tasks HTTP/0.9\r\nHost: api\r\n\r\n",
        b"GET /tasks\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: api\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHo st: api\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: nope\r\n\r\n" + BODY,
        HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 5\r\n" + CHUNKED + BODY,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n" + LENGTH % len(BODY) + BODY,
        HEAD.replace(b"/1.1", b"/1.0") + CHUNKED + b"0\r\n\r\n",
        HEAD + CHUNKED + b"zz\r\n",
        HEAD + CHUNKED + b"5\r\n123456789\r\n",
        HEAD + CHUNKED + b"ffffffffffffffffffff\r\n",
    ],
    ids=lambda value: repr(value[-24:]),
)
async def test_what_is_not_http_is_a_problem_in09(wire: Wire, request_bytes: bytes) -> None:
    await wire.send(request_bytes)
    answer = await wire.answer()
    answer.problem(400, "malformed-request")
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [
        (b"/%zz", 404, "not-found"),
        (b"/%ff%fe", 404, "not-found"),
        (b"/tasks/", 404, "not-found"),
        (b"/tasks/%ff", 422, "invalid-parameter"),
        (b"/tasks/%00", 422, "invalid-parameter"),
        (b"/tasks?cursor=%ff", 422, "invalid-parameter"),
        (b"/tasks?state=%", 422, "invalid-parameter"),
        (b"/tasks?limit=%zz&limit=%00", 422, "invalid-parameter"),
    ],
)
async def test_malformed_escapes_are_read_as_far_as_they_go(
    wire: Wire, target: bytes, status: int, kind: str
) -> None:
    await wire.send(b"GET %s HTTP/1.1\r\nHost: api\r\n\r\n" % target)
    (await wire.answer()).problem(status, kind)


@pytest.mark.parametrize("method", [b"DELETE", b"PUT", b"PATCH", b"OPTIONS", b"TRACE", b"PURGE"])
async def test_other_methods_are_a_problem(wire: Wire, method: bytes) -> None:
    await wire.send(method + b" /tasks HTTP/1.1\r\nHost: api\r\n\r\n")
    answer = await wire.answer()
    answer.problem(405, "method-not-allowed")
    assert answer.headers["allow"]


async def test_an_upgrade_that_is_not_offered_is_ignored(wire: Wire) -> None:
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    await wire.send(upgrade, b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n")
    assert (await wire.answer()).status == 200
    await wire.send(GET)
    assert (await wire.answer()).status == 200


async def test_what_was_asked_before_the_garbage_is_answered_in09(wire: Wire) -> None:
    await wire.send(HEAD, LENGTH % len(BODY), BODY, b"and more than announced")
    answer = await wire.answer()
    assert answer.status == 201
    assert await wire.is_closed()


async def test_a_body_that_ends_early_is_a_problem_and_no_task_in09(wire: Wire, port: int) -> None:
    key = b"Idempotency-Key: %s\r\n" % secrets.token_hex(8).encode()
    await wire.send(HEAD, key, LENGTH % (len(BODY) + 1), BODY)
    wire.end()
    answer = await wire.answer()
    answer.problem(400, "incomplete-request")
    assert await wire.is_closed()
    async with wired(port) as other:
        await other.send(HEAD, key, LENGTH % len(BODY), BODY)
        assert (await other.answer()).status == 201


async def test_a_client_that_ends_its_side_still_gets_its_answer(wire: Wire) -> None:
    await wire.send(HEAD, LENGTH % len(BODY), BODY)
    wire.end()
    assert (await wire.answer()).status == 201
    assert await wire.is_closed()


async def test_a_client_that_vanishes_in_its_body_harms_nobody_in09(port: int) -> None:
    for _ in range(20):
        async with wired(port) as gone:
            await gone.send(HEAD, LENGTH % 5_000, BODY)
    async with wired(port) as wire:
        await wire.send(HEAD, LENGTH % len(BODY), BODY)
        assert (await wire.answer()).status == 201


@pytest.mark.parametrize("path", [b"/tasks", b"/tasks/batch"])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"x", b"gzip, gzip"])
async def test_an_encoded_body_is_refused_in09(wire: Wire, path: bytes, coding: bytes) -> None:
    body = gzip.compress(b" " * 1_000_000)
    head = HEAD.replace(b"/tasks", path) + b"Content-Encoding: %s\r\n" % coding
    await wire.send(head, LENGTH % len(body), body)
    (await wire.answer()).problem(415, "unsupported-media-type")


async def test_a_body_announced_too_large_is_refused_before_it_is_sent_in09(wire: Wire) -> None:
    await wire.send(HEAD, b"Expect: 100-continue\r\n", LENGTH % 100_000_000)
    (await wire.answer()).problem(413, "body-too-large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES + b"\r\n",
        # As many separators as anything else.
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 1_000_000,
        HEAD + CHUNKED + b"0\r\nA: " + b"x" * 1_000_000,
        HEAD + CHUNKED + b"0\r\n" + b"a: b\r\n" * 200_000,
    ],
    ids=["target", "header", "headers", "separators", "endless", "endless trailer", "trailers"],
)
async def test_headers_above_the_limit_are_refused_in09(wire: Wire, head: bytes) -> None:
    await wire.send(head)
    (await wire.answer()).problem(431, "request-header-fields-too-large")


async def test_http_1_0_needs_no_host_and_is_answered_once(wire: Wire) -> None:
    await wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.is_closed()


async def test_headers_below_the_limit_pass(wire: Wire) -> None:
    await wire.send(GET[:-2], b"A: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")
    assert (await wire.answer()).status == 200


async def drip(wire: Wire, data: bytes, every_s: float = 0.05) -> None:
    """Send byte by byte, until cancelled or done."""
    for byte in data:
        await wire.send(bytes([byte]))
        await asyncio.sleep(every_s)


@pytest.mark.parametrize(
    ("before", "drops"),
    [(b"", HEAD + b"A: " + b"x" * 1_000), (HEAD + LENGTH % 1_000, b" " * 1_000)],
    ids=["headers", "body"],
)
async def test_a_drip_is_ended_in_time_in09(hasty: Wire, before: bytes, drops: bytes) -> None:
    await hasty.send(before)
    dripping = asyncio.create_task(drip(hasty, drops))
    (await hasty.answer(within_s=3)).problem(408, "request-timeout")
    assert await hasty.is_closed(within_s=3)
    dripping.cancel()


async def test_a_later_request_on_the_connection_may_not_drip_either_in09(hasty: Wire) -> None:
    await hasty.send(GET)
    assert (await hasty.answer()).status == 200
    dripping = asyncio.create_task(drip(hasty, GET))
    (await hasty.answer(within_s=3)).problem(408, "request-timeout")
    dripping.cancel()


@pytest.mark.parametrize("said", [b"", b"\r\n" * 20])
async def test_a_client_that_says_nothing_is_ended_in_time_in09(hasty: Wire, said: bytes) -> None:
    await hasty.send(said)
    assert await hasty.is_closed(within_s=3)


async def test_empty_lines_between_requests_do_not_hold_a_connection_in09(hasty: Wire) -> None:
    await hasty.send(GET)
    assert (await hasty.answer()).status == 200
    dripping = asyncio.create_task(drip(hasty, b"\r\n" * 1_000))
    assert await hasty.is_closed(within_s=3)
    dripping.cancel()


async def test_who_was_answered_early_may_not_send_for_ever_in09(settings: Settings) -> None:
    class Protocol(BoundedHttpProtocol):
        linger_s = 0.5

    async with served(settings, Protocol) as port, wired(port) as wire:
        await wire.send(HEAD, b"Content-Length: 1000000000\r\n\r\n")
        (await wire.answer()).problem(413, "body-too-large")
        dripping = asyncio.create_task(drip(wire, b" " * 1_000))
        assert await wire.is_closed(within_s=3)
        dripping.cancel()


async def test_a_slow_body_within_its_time_is_taken(hasty: Wire) -> None:
    await hasty.send(HEAD, LENGTH % len(BODY))
    await drip(hasty, BODY, every_s=0.1 / len(BODY))
    assert (await hasty.answer()).status == 201


async def test_an_answer_that_takes_long_is_not_cut_by_what_follows_it(
    hasty: Wire, pool: Pool
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table tasks in access exclusive mode")
        await hasty.send(HEAD, LENGTH % len(BODY), BODY, b"GET /heal")
        # Longer than the headers of the second request may take.
        await asyncio.sleep(2 * HastyProtocol.headers_within_s)
    assert (await hasty.answer()).status == 201
    (await hasty.answer(within_s=3)).problem(408, "request-timeout")
