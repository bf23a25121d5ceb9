"""What a message looks like. It names a task; everything else is in the database."""

from __future__ import annotations

from uuid import UUID

import msgspec

SCHEMA_VERSION = 1
CONTENT_TYPE = "application/json"


class _Message(msgspec.Struct):
    v: int
    id: UUID


class UnreadableMessage(ValueError):
    """A message that was not written by this platform, or by a newer one."""


_decoder = msgspec.json.Decoder(_Message)


def encode_message(task_id: UUID) -> bytes:
    """The body of the message that announces a task."""
    return b'{"v":%d,"id":"%s"}' % (SCHEMA_VERSION, str(task_id).encode())


def decode_message(body: bytes) -> UUID:
    """The announced task's id. Raises UnreadableMessage."""
    try:
        message = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnreadableMessage(str(error)) from None
    if message.v != SCHEMA_VERSION:
        raise UnreadableMessage(f"schema version {message.v}, expected {SCHEMA_VERSION}")
    return message.id
