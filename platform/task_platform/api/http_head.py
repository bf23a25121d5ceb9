"""The head of a request as it comes in: counted, checked, and written again without an upgrade."""

from __future__ import annotations

from http import HTTPStatus

import httptools

MAX_HEAD_BYTES = 65_536

# Of a request line beside its target and, roughly, its method; of a header beside name and value.
_LINE_BYTES = len("GET  HTTP/1.1\r\n")
_SEPARATOR_BYTES = len(": \r\n")


class Refusal(Exception):
    """A request that is not taken. kind: stable last part of the problem's `type`."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail


def malformed(detail: str) -> Refusal:
    """What is not HTTP/1.1."""
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed-request", detail)


def head_too_large() -> Refusal:
    """More than a head may have."""
    return Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "request-header-fields-too-large",
        f"a request line and its headers may have {MAX_HEAD_BYTES} bytes",
    )


class Head:
    """What has come of one request's head. Its methods raise Refusal."""

    __slots__ = ("_bytes", "_codings", "_hosts")

    def __init__(self) -> None:
        self._bytes = _LINE_BYTES
        self._hosts = 0
        self._codings: list[bytes] = []

    def count(self, size: int) -> None:
        """Take so many bytes of the request's target."""
        self._bytes += size
        if self._bytes > MAX_HEAD_BYTES:
            raise head_too_large()

    def add(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self.count(len(name) + len(value) + _SEPARATOR_BYTES)
        # By length first: these lines run for every header of every request.
        if len(name) == 4 and name.lower() == b"host":
            self._hosts += 1
        elif len(name) == 17 and name.lower() == b"transfer-encoding":
            self._codings.append(value.lower())

    def check(self, version: str) -> None:
        """Look at the head as a whole. version: of HTTP, as it was asked for."""
        if version not in ("1.1", "1.0"):
            raise malformed("HTTP/1.1 and HTTP/1.0 are spoken here")
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise malformed("send one Host header")
        if self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            raise malformed("the one Transfer-Encoding of a body is chunked, in HTTP/1.1")


def written_without_upgrade(
    parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head that was just read, without its wish to speak another protocol."""
    kept = [b"%s: %s\r\n" % line for line in headers if line[0] != b"upgrade"]
    version = parser.get_http_version().encode()
    return b"%s %s HTTP/%s\r\n%s\r\n" % (parser.get_method(), url, version, b"".join(kept))
