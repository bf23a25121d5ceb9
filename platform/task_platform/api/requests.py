"""Reading requests: bodies within their limit, the idempotency key, the names in a query."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.requests import Request

from task_platform.errors import (
    BodyTooLarge,
    ClientError,
    IncompleteRequest,
    UnsupportedMediaType,
)

KEY_HEADER = "Idempotency-Key"
# Bare, or an RFC 8941 string. Both spell a key of 1 to 255 visible ASCII characters.
KEY_PATTERN = r'^(?:[!#-~][!-~]{0,254}|"(?:[!#-\[\]-~]|\\["\\]){1,255}")$'
TYPE_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$"
# What a client is told instead of a pattern.
FORMS = {
    KEY_PATTERN: "an idempotency key has 1 to 255 visible ASCII characters, bare or in quotes",
    TYPE_PATTERN: "a task type has 1 to 128 of the characters A-Z a-z 0-9 _ . : / -, "
    "the first of them a letter, a digit or _",
}
_KEY = re.compile(KEY_PATTERN)
_ESCAPED = re.compile(r'\\(["\\])')
_JSON = "application/json"


class InvalidParameter(ClientError):
    """A header or a parameter of the query or the path does not fit; `parameter` is its name."""

    status = 422
    kind = "invalid-parameter"

    def __init__(self, detail: str, *, parameter: str) -> None:
        super().__init__(detail)
        self.parameter = parameter


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body. Raises BodyTooLarge as soon as it is known to exceed the limit (bytes)."""
    media_types = _values(request, b"content-type")
    if media_types != [_JSON] and not (len(media_types) == 1 and _is_json(media_types[0])):
        raise UnsupportedMediaType("send one Content-Type: application/json, in UTF-8")
    codings = _values(request, b"content-encoding")
    if any(coding.strip().lower() != "identity" for coding in codings):
        raise UnsupportedMediaType("send the body as it is, without a Content-Encoding")
    announced = next(iter(_values(request, b"content-length")), "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise BodyTooLarge(f"a body may have {limit} bytes")
    chunks = []
    size = 0
    has_more = True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise IncompleteRequest("the body ended before its announced end")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"a body may have {limit} bytes")
        chunks.append(chunk)
        has_more = message.get("more_body", False)
    return b"".join(chunks)


def _values(request: Request, name: bytes) -> list[str]:
    """Every value of a header. name: in lower case, as the server hands them on."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    return [value.decode("latin-1") for key, value in headers if key == name]


def _is_json(content_type: str) -> bool:
    media_type, *parameters = content_type.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() != "utf-8":
            return False
    return media_type.strip().lower() == _JSON


def refuse_other_parameters(request: Request, known: Collection[str]) -> None:
    """Raises InvalidParameter for one of the query that is not known, or comes twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise InvalidParameter("no such parameter", parameter=name)
        if names.count(name) > 1:
            raise InvalidParameter("given more than once", parameter=name)


def key_from_header(request: Request) -> str | None:
    """The key of the request's header, or None. Raises InvalidParameter."""
    values = _values(request, b"idempotency-key")
    if not values:
        return None
    if len(values) > 1:
        raise InvalidParameter(f"send one {KEY_HEADER}", parameter=KEY_HEADER)
    key = parse_key(values[0].strip(" \t"))
    if key is None:
        raise InvalidParameter(FORMS[KEY_PATTERN], parameter=KEY_HEADER)
    return key


def refuse_key_header(request: Request) -> None:
    """Raises InvalidParameter when a batch comes under a key of its own."""
    if KEY_HEADER in request.headers:
        raise InvalidParameter(
            f"a batch has no {KEY_HEADER}: give each item its `idempotency_key`",
            parameter=KEY_HEADER,
        )


def parse_key(text: str) -> str | None:
    """The key that a bare or quoted text spells; None if it spells none."""
    # `fullmatch`: `$` alone would let a line feed pass.
    if not _KEY.fullmatch(text):
        return None
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text
