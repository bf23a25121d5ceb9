"""Reading requests: bodies within their limit, and the idempotency key."""

from __future__ import annotations

import re

from starlette.requests import Request

from task_platform.api.schemas import KEY_PATTERN
from task_platform.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType

KEY_HEADER = "idempotency-key"
_KEY = re.compile(KEY_PATTERN)


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body. Raises BodyTooLarge as soon as it is known to exceed the limit (bytes)."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType("send application/json")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise BodyTooLarge(f"a body may have {limit} bytes")
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"a body may have {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def idempotency_key(request: Request) -> str | None:
    """The key, bare or quoted as the header's draft standard has it. Raises InvalidInput."""
    values = request.headers.getlist(KEY_HEADER)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidInput("send one Idempotency-Key", pointer=KEY_HEADER)
    key = values[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.match(key):
        raise InvalidInput(
            "an Idempotency-Key has 1 to 255 visible ASCII characters", pointer=KEY_HEADER
        )
    return key
