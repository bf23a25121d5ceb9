"""HTTP as uvicorn speaks it, with bounds on what a client may make the server wait for or hold.

The head of a request has to be complete within a time and a size, its body within a time; what is
not HTTP, or ends early, is answered with a problem. A refused client may go on sending for a short
while, so that it comes to read the refusal, and is then cut off.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from task_platform.api.problems import MEDIA_TYPE, problem

MAX_HEAD_BYTES = 65_536


class _HeadTooLarge(Exception):
    pass


class _Receiving(Enum):
    NOTHING = "between two requests"
    HEAD = "a request line and headers"
    BODY = "a body"


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
        self._head_bytes = 0
        # Since something of a body came: the parser keeps an unfinished header, however long.
        self._bytes_without_body = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
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
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here: the request is answered as any other
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self._refuse(400, "malformed-request", "this is not a valid HTTP/1.1 request")
            return
        if self._receiving is not _Receiving.NOTHING and self._bytes_without_body > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._deadline is None:
            self._expect_rest()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; True when it may still wait for an answer."""
        if self._receiving is not _Receiving.NOTHING:
            self._refuse(400, "incomplete-request", "the request ended before its announced end")
        elif not self._is_refused and not self._is_answered():
            self.cycle.keep_alive = False
            return True
        return False

    def shutdown(self) -> None:
        if self._is_refused:
            self.transport.close()
        super().shutdown()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = _Receiving.HEAD
        self._head_bytes = self._bytes_without_body = 0

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._receiving = _Receiving.BODY
        self._bytes_without_body = 0
        self._expect_nothing()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = _Receiving.NOTHING
        self._expect_nothing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._receiving is _Receiving.BODY and self._is_answered():
            self._expect(self.linger_s, self.transport.close)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _HeadTooLarge

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
            self._refuse(408, "request-timeout", "the headers did not come in time")
        else:
            self.transport.close()

    def _on_late_body(self) -> None:
        self._refuse(408, "request-timeout", "the body did not come in time")

    def _refuse_head(self) -> None:
        limit = f"a request line and its headers may have {MAX_HEAD_BYTES} bytes"
        self._refuse(431, "request-header-fields-too-large", limit)

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        """Answer the request that is being received, and end the connection."""
        self._expect_nothing()
        if self._receiving is _Receiving.BODY:
            if self.pipeline or self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif not self._is_answered():
            # What was asked before is answered first, and is the last.
            self._is_refused = True
            self.cycle.keep_alive = False
            return
        self._is_refused = True
        body = msgspec.json.encode(problem(status, kind, detail))
        head = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % line for line in (*self.server_state.default_headers, *head)]
        self.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        # Closing at once would reset the connection under a client that is still sending.
        self.flow.resume_reading()
        self.transport.write_eof()
        self._expect(self.linger_s, self.transport.close)
