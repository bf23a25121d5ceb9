"""HTTP as uvicorn speaks it, with bounds on what a client may make the server wait for or hold.

The head of a request has to be complete within a time and a size, its body within a time; what is
not HTTP, or ends early, is answered with a problem, unless something that was asked before is still
to be answered: that is answered, and is the last. A refused client may go on sending for a short
while, so that it comes to read the refusal, and is then cut off.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from task_platform.api.http_head import (
    MAX_HEAD_BYTES,
    Head,
    Refusal,
    head_too_large,
    malformed,
    written_without_upgrade,
)
from task_platform.api.http_writes import GatheredTransport
from task_platform.api.problems import MEDIA_TYPE, problem


class _Receiving(Enum):
    NOTHING = "between two requests"
    HEAD = "a request line and headers"
    BODY = "a body"


class _LastAnswer:
    """What a request is answered through while its body is incomplete: the answer is the last.

    It ends the connection gently; closed at once, it would be reset under a client that is still
    sending and may lose the answer by that.
    """

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.part


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    headers_within_s: from the connection, or the first byte of a later request, to its last header.
    body_within_s: from there to the end of the body.
    linger_s: how long a client that was answered early may go on sending.
    """

    headers_within_s = 15.0
    body_within_s = 60.0
    linger_s = 5.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving = _Receiving.NOTHING
        self._deadline: asyncio.TimerHandle | None = None
        self._is_refused = False
        self._head = Head()
        # Since something of a body came: the parser keeps an unfinished header, however long.
        self._bytes_without_body = 0
        # The request before the newest, while that waits for it.
        self._asked_before: RequestResponseCycle | None = None
        # Whether the newest request, whose body is incomplete, wanted to keep the connection.
        self._wanted_to_keep = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._gathered = GatheredTransport(transport, self.loop)
        self.transport = cast("asyncio.Transport", self._gathered)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        self._bytes_without_body += len(data)
        try:
            self._feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        except httptools.HttpParserError as error:
            why = error.__context__
            if not isinstance(why, Refusal):
                why = malformed("this is not a valid HTTP/1.1 request")
            self._refuse(why)
            return
        if self._receiving is not _Receiving.NOTHING and self._bytes_without_body > MAX_HEAD_BYTES:
            self._refuse(head_too_large())
            return
        if self._receiving is _Receiving.BODY:
            self._let_answer_be_last()
        if self._deadline is None:
            self._expect_rest()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; True when it may still wait for an answer."""
        # The loop may close the connection as soon as this returns.
        self._gathered.flush()
        if not self._is_refused:
            if self._receiving is not _Receiving.NOTHING:
                detail = "the request ended before its announced end"
                self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "incomplete-request", detail))
            elif not self._is_answered():
                self.cycle.keep_alive = False
        return not self._is_answered()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = _Receiving.HEAD
        self._bytes_without_body = 0
        self._head = Head()

    def on_url(self, url: bytes) -> None:
        self._head.count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.add(name, value)
        # Otherwise it is a trailer. Whoever works on the request has its headers already, or not.
        if self._receiving is _Receiving.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # read again: see `_feed`
        self._head.check(self.parser.get_http_version())
        before = self.cycle
        super().on_headers_complete()
        self._asked_before = before if self.pipeline else None
        self._receiving = _Receiving.BODY
        self._bytes_without_body = 0
        self._expect_nothing()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._receiving = _Receiving.NOTHING
        self._expect_nothing()
        if self.cycle.transport is not self.transport and not self.cycle.response_started:
            self.cycle.transport = self.transport
            self.cycle.keep_alive = self._wanted_to_keep

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_refused or self._receiving is not _Receiving.NOTHING:
            # It is not idle: what has begun to come has a time of its own.
            self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        # Also where the rest of a body is still to come.
        self._wanted_to_keep = False
        super().shutdown()

    def part(self) -> None:
        """Say that no more will be said, and listen no more; close after a while."""
        self._is_refused = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._expect(self.linger_s, self.transport.close)

    def _feed(self, data: bytes) -> None:
        """Let the parser take it. A wish for another protocol is read again without that wish: the
        parser would leave out the body, and take it for the next request."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    raise malformed("this is no proxy") from None
                head = written_without_upgrade(self.parser, self.url, self.headers)
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
                rest = rest[upgrade.args[0] :]
            else:
                return

    def _let_answer_be_last(self) -> None:
        cycle = self.cycle
        if cycle.transport is self.transport and not cycle.response_started:
            self._wanted_to_keep, cycle.keep_alive = cycle.keep_alive, False
            cycle.transport = cast("asyncio.Transport", _LastAnswer(self))

    def _is_answered(self) -> bool:
        """Whether nothing that was asked is still being worked on."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _expect_rest(self) -> None:
        """Set a time for what has begun: most requests come whole, and never get here with one."""
        if self._receiving is _Receiving.BODY:
            self._expect(self.body_within_s, self._on_late_body)
        elif self._receiving is _Receiving.HEAD or self._is_answered():
            self._expect_head()

    def _expect_head(self) -> None:
        self._expect(self.headers_within_s, self._on_late_head)

    def _expect(self, within_s: float, otherwise: Any) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(within_s, otherwise)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_late_head(self) -> None:
        if not self._is_answered():
            # Reading may be paused until the answers before it are out.
            self._expect_head()
        elif self._receiving is _Receiving.HEAD:
            self._refuse_late("the headers did not come in time")
        else:
            self.transport.close()

    def _on_late_body(self) -> None:
        self._refuse_late("the body did not come in time")

    def _refuse_late(self, detail: str) -> None:
        self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being received, or all those before it, and be done."""
        self._expect_nothing()
        self._is_refused = True
        if self._receiving is _Receiving.BODY and not self._withdraw():
            return
        if not self._is_answered():
            self.cycle.keep_alive = False
            return
        body = msgspec.json.encode(problem(refusal.status, refusal.kind, refusal.detail))
        head = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % line for line in (*self.server_state.default_headers, *head)]
        self.transport.write(b"".join((STATUS_LINE[refusal.status], *lines, b"\r\n", body)))
        self.part()

    def _withdraw(self) -> bool:
        """Let go of the request whose body is being received; False when it is being answered."""
        if self.pipeline:
            self.pipeline.popleft()
            self.cycle = cast("RequestResponseCycle", self._asked_before)
        elif self.cycle.response_started:
            return False
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.cycle = None  # type: ignore[assignment]
        return True
