"""JSON as this platform takes it: what passes here can be stored, compared and read back.

Refused: NaN and infinities (also by overflow), lone surrogates, invalid UTF-8, NUL characters
(Postgres cannot hold them in text), nesting deeper than 64. Integers keep every digit; `-0` is
read as 0 and, of equal keys in one object, the last wins.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import msgspec

from task_platform.errors import InvalidInput, InvalidResult, MalformedJson

MAX_DEPTH = 64

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def loads(body: bytes) -> Any:
    """The parsed body. Raises MalformedJson, or InvalidInput naming the place."""
    try:
        value = _decode(body)
    except RecursionError:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels") from None
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{error}".split(" - ", maxsplit=1)[0].lower()) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The decoder's own text may quote the input.
        if _is_json_but_for_surrogates(body):
            raise InvalidInput("a string contains a lone surrogate") from None
        raise MalformedJson("the body is not valid JSON in UTF-8") from None
    _check(value, "", MAX_DEPTH)
    return value


def dumps(value: Any) -> str:
    """Compact JSON text of something that came from `loads`."""
    return _encode(value).decode()


def fingerprint(value: Any) -> bytes:
    """A digest of the value's canonical form: keys sorted, no spaces, shortest numbers.

    `1` and `1.0` differ, because handlers can tell them apart.
    """
    return hashlib.sha256(_encode_sorted(value)).digest()


def dump_result(value: Any) -> str:
    """JSON text of a handler's result. Raises InvalidResult saying what cannot be stored."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResult(f"the result is not JSON: {error}") from None
    # Without the pairs, a backslash begins an escape; with them, it may be text about one.
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidResult("the result contains a NUL character")
    return text


def pointer_part(key: str | int) -> str:
    """A key or index as it stands in a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _is_json_but_for_surrogates(body: bytes) -> bool:
    """Whether only a surrogate escape without its other half keeps the body from being JSON."""
    if not _SURROGATE_ESCAPE.search(body):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _check(value: Any, pointer: str, levels: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidInput("contains a NUL character", pointer=pointer)
    elif isinstance(value, list):
        if levels == 0:
            raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")
        for index, item in enumerate(value):
            if not isinstance(item, int | float):
                _check(item, f"{pointer}/{index}", levels - 1)
    elif isinstance(value, dict):
        if levels == 0:
            raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels")
        for key, item in value.items():
            if "\x00" in key:
                raise InvalidInput("a key contains a NUL character", pointer=pointer)
            if not isinstance(item, int | float):
                _check(item, f"{pointer}/{pointer_part(key)}", levels - 1)
