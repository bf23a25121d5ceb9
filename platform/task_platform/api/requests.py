"""Reading requests: bodies within their limit, and the idempotency key."""

from __future__ import annotations

import re

from starlette.requests import ClientDisconnect, Request

from task_platform.errors import (
    BodyTooLarge,
    IncompleteRequest,
    InvalidInput,
    UnsupportedMediaType,
)

KEY_HEADER = "idempotency-key"
# Bare, or an RFC 8941 string. Both spell a key of 1 to 255 visible ASCII characters.
KEY_PATTERN = r'^(?:[!#-~][!-~]{0,254}|"(?:[!#-\[\]-~]|\\["\\]){1,255}")$'
_KEY = re.compile(KEY_PATTERN)
_ESCAPED = re.compile(r'\\(["\\])')


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body. Raises BodyTooLarge as soon as it is known to exceed the limit (bytes)."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType("send application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("send the body as it is, without a Content-Encoding")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise BodyTooLarge(f"a body may have {limit} bytes")
    chunks = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(f"a body may have {limit} bytes")
            chunks.append(chunk)
    except ClientDisconnect:
        raise IncompleteRequest("the body ended before its announced end") from None
    return b"".join(chunks)


def key_from_header(request: Request) -> str | None:
    """The key of the request's header, or None. Raises InvalidInput."""
    values = request.headers.getlist(KEY_HEADER)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidInput("send one Idempotency-Key", pointer=KEY_HEADER)
    return parse_key(values[0].strip(" \t"), pointer=KEY_HEADER)


def refuse_key_header(request: Request) -> None:
    """Raises InvalidInput when a batch comes under a key of its own."""
    if KEY_HEADER in request.headers:
        raise InvalidInput(
            "a batch has no key of its own: give each item its `idempotency_key`",
            pointer=KEY_HEADER,
        )


def parse_key(text: str, *, pointer: str) -> str:
    """The key that a bare or quoted text spells. Raises InvalidInput."""
    # `fullmatch`: `$` alone would let a line feed pass.
    if not _KEY.fullmatch(text):
        raise InvalidInput(
            "an idempotency key has 1 to 255 visible ASCII characters, bare or in quotes",
            pointer=pointer,
        )
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text
