"""What shows that a fault reached its target: proofs, and how a server answers. All calls block."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from task_lab.runtime.ports import LOOPBACK

Answer = Literal["answered", "refused", "silent"]

_ANSWER_S = 1.0
_GONE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.02
# What each server answers at once, before any log-in: the protocol's header, the wish for TLS.
_GREETINGS = {
    "amqp": b"AMQP\x00\x00\x09\x01",
    "postgresql": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
}


@dataclass(frozen=True)
class Proof:
    """Whether the fault reached anything, and what showed it."""

    bit: bool
    seen: Mapping[str, Any]


def refused(port: int) -> Proof:
    """Proof that nobody listens; a killed server may need a moment until its port is free."""
    ends_at = time.monotonic() + _GONE_WITHIN_S
    while time.monotonic() < ends_at:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except ConnectionRefusedError:
            return Proof(True, {"connection": "refused"})
        except OSError:
            pass
        time.sleep(_LOOK_EVERY_S)
    return Proof(False, {"connection": "accepted"})


def answer_of(url: str) -> Answer:
    """How the server at an amqp or postgresql address meets a greeting, within a second.

    refused: no connection, or one that is closed at once; silent: nothing came back.
    """
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=_ANSWER_S) as link:
            link.settimeout(_ANSWER_S)
            link.sendall(_GREETINGS[parts.scheme])
            return "answered" if link.recv(1) else "refused"
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"
