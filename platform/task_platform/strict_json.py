"""JSON as this platform takes it: what passes here can be stored, compared and read back.

Refused: NaN and infinities (also by overflow), lone surrogates, invalid UTF-8, NUL characters
(Postgres cannot hold them in text), nesting deeper than 64, integers of more than 4,300 characters
(sign included). Other integers keep every digit; `-0` is
read as 0 and, of equal keys in one object, the last wins.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from task_platform.errors import InvalidInput, InvalidResult, MalformedJson

MAX_DEPTH = 64

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# Of a body that is larger it is only said that it cannot be decoded.
_MOST_LOOKED_INTO = 2_000_000
_NUL_ESCAPE = rb"\u0000"

_decode = msgspec.json.Decoder().decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode
# What `json.dumps` would make anew for every result.
_encode_result = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class _Place(NamedTuple):
    """Where something is in a value. is_key: it is a key of the object there."""

    path: tuple[str | int, ...] = ()
    is_key: bool = False


def loads(body: bytes, *, around: int = 0) -> Any:
    """The parsed body. Raises MalformedJson, or InvalidInput naming the place.

    around: so many levels of the body's own stand around what may be nested MAX_DEPTH deep.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise too_deep() from None
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{error}".split(" - ", maxsplit=1)[0].lower()) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise undecodable(body) from None
    _check(value, body, MAX_DEPTH + around)
    return value


def too_deep() -> InvalidInput:
    """More levels than are allowed."""
    return InvalidInput(f"nested deeper than {MAX_DEPTH} levels")


def undecodable(body: bytes) -> InvalidInput | MalformedJson:
    """Why the decoder takes no part of it. Its own text may quote the input."""
    if len(body) <= _MOST_LOOKED_INTO and _SURROGATE_ESCAPE.search(body):
        # Each escape as one of the same length that is always right.
        plain = _SURROGATE_ESCAPE.sub(rb"\\u0041", body.replace(rb"\\", rb"\n"))
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            plain.decode()
            _skip(plain)
            return InvalidInput("a string contains a lone surrogate")
    return MalformedJson("the body is not valid JSON in UTF-8")


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
        text = _encode_result(value)
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


def _check(value: Any, body: bytes, levels: int) -> None:
    # Two looks at the text spare nearly every body the walk through its values.
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > levels and isinstance(value, list | dict) and _is_deeper(value, levels):
        raise too_deep()
    if _NUL_ESCAPE in body and (place := _place_of_nul(value)) is not None:
        pointer = "".join("/" + pointer_part(part) for part in place.path)
        what = "a key contains" if place.is_key else "contains"
        raise InvalidInput(f"{what} a NUL character", pointer=pointer)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a list or dict has more levels, itself included."""
    if levels == 0:
        return True
    for inner in value if type(value) is list else value.values():
        kind = type(inner)
        # No call for empty ones: a body may hold hundreds of thousands of them.
        is_next = (kind is list or kind is dict) and (inner or levels == 1)
        if is_next and _is_deeper(inner, levels - 1):
            return True
    return False


def _place_of_nul(value: Any) -> _Place | None:
    """Where the first NUL is; the text may have shown one that a later equal key has replaced."""
    if isinstance(value, str):
        return _Place() if "\x00" in value else None
    if isinstance(value, dict):
        members: Iterable[tuple[str | int, Any]] = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    else:
        return None
    for part, inner in members:
        if type(part) is str and "\x00" in part:
            return _Place(is_key=True)
        # No call for empty ones, as above.
        if inner and (place := _place_of_nul(inner)) is not None:
            return _Place((part, *place.path), place.is_key)
    return None
