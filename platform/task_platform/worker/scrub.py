"""Error text as it is stored: bounded, storable, without credentials."""

from __future__ import annotations

import re

MAX_MESSAGE = 2_000

_USERINFO = re.compile(r"(\w+://)[^\s/@]+@")
_ASSIGNED = re.compile(
    r"(?i)\b(password|passwd|secret|token|api[_-]?key|authorization)(\s*[=:]\s*)\S+"
)


def scrub(text: str) -> str:
    """The text without what looks like a secret, without what Postgres cannot hold, cut short."""
    text = _USERINFO.sub(r"\1***@", text)
    text = _ASSIGNED.sub(r"\1\2***", text)
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def describe(error: BaseException) -> tuple[str, str]:
    """(type name, scrubbed message) of an exception, even of one that cannot be printed."""
    try:
        message = str(error)
    except Exception as broken:  # an exception's own __str__ may raise anything
        message = f"the error cannot be printed: {type(broken).__name__}"
    return scrub(type(error).__name__)[:200], scrub(message)
