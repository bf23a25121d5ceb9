"""Error text as it is stored: bounded, storable, without credentials."""

from __future__ import annotations

import re

MAX_MESSAGE = 2_000

# Repeats are bounded: a handler may put a whole payload into its message, and a scan that is
# quadratic in it would hold up everything on the event loop.
_MAX_SCANNED = 20 * MAX_MESSAGE
_USERINFO = re.compile(r"(\w{1,32}://)[^\s/]+@")
# Also as Python and JSON write them: 'db_password': 'x', "Authorization": "Bearer x".
_ASSIGNED = re.compile(
    r"""(?ix)
    ((?:password|passwd|secret|token|api[_-]?key|authorization)\w{0,32}["']?\s{0,8}[=:]\s{0,8})
    (?:"[^"]*"? | '[^']*'? | (?:(?:bearer|basic|token)\s+)?[^\s,;&]+)
    """
)


def scrub(text: str) -> str:
    """The text without what looks like a secret, without what Postgres cannot hold, cut short."""
    text = _USERINFO.sub(r"\1***@", text[:_MAX_SCANNED])
    text = _ASSIGNED.sub(r"\1***", text)
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def describe(error: BaseException) -> tuple[str, str]:
    """(type name, scrubbed message) of an exception, even of one that cannot be printed."""
    try:
        message = str(error)
    except BaseException as broken:  # an exception's own __str__ may raise anything
        message = f"the error cannot be printed: {type(broken).__name__}"
    return scrub(type(error).__name__)[:200], scrub(message)
