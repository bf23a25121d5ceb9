"""Frames as bytes: batches of publishes and acknowledgements out, whole frames in.

Layouts are those of the AMQP 0-9-1 specification, sections 2.3.5 and 4.2. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Of a frame: kind, channel, size of its payload; behind the payload one octet that ends it.
HEAD = Struct(">BHI")
END = 0xCE
# Bytes of a frame beside its payload.
AROUND = HEAD.size + 1

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
HEARTBEAT_FRAME = HEAD.pack(HEARTBEAT, 0, 0) + bytes([END])
# Until both sides have agreed on a size, and as much as RabbitMQ offers.
MAX_FRAME_BYTES = 131_072

# Class and method number in one: what a method's payload begins with.
BASIC = 60
PUBLISH = BASIC << 16 | 40
RETURN = BASIC << 16 | 50
DELIVER = BASIC << 16 | 60
ACK = BASIC << 16 | 80
NACK = BASIC << 16 | 120

_MANDATORY = 0b01
_MULTIPLE = 0b01
# Which properties a header holds: content type and delivery mode.
_CONTENT_TYPE_AND_MODE = 1 << 15 | 1 << 12
_PERSISTENT = 2
# An acknowledgement as a whole frame: tag, and whether for all up to it.
_ACK_FRAME = Struct(">BHIIQBB")
_ACK_BYTES = 13
# The payload of a content header: class, weight, size of the body, then the properties.
_CONTENT = Struct(">HHQ")
_ID = Struct(">I")
_TAG = Struct(">Q")


class MalformedFrame(ValueError):
    """What came is not AMQP, or not cut as it was agreed upon."""


def publishes(
    channel: int,
    queue: str,
    bodies: Iterable[bytes],
    *,
    content_type: str,
    mandatory: bool,
    max_frame_bytes: int,
) -> bytes:
    """Persistent messages for a queue, through the default exchange, as one buffer.

    max_frame_bytes: as agreed; a larger body is cut into several frames.
    """
    method = _frame(
        METHOD,
        channel,
        _ID.pack(PUBLISH) + bytes(2) + _short("") + _short(queue) + bytes([_MANDATORY * mandatory]),
    )
    properties = (
        _CONTENT_TYPE_AND_MODE.to_bytes(2, "big") + _short(content_type) + bytes([_PERSISTENT])
    )
    most = max_frame_bytes - AROUND
    end = bytes([END])
    # Messages of one size differ in their bodies only: what stands before one is encoded once.
    before: dict[int, bytes] = {}
    parts: list[bytes] = []
    for body in bodies:
        size = len(body)
        if size not in before:
            header = _frame(HEADER, channel, _CONTENT.pack(BASIC, 0, size) + properties)
            first = HEAD.pack(BODY, channel, min(size, most)) if size else b""
            before[size] = method + header + first
        if 0 < size <= most:
            parts += (before[size], body, end)
        else:
            parts.append(before[size])
            for start in range(0, size, most):
                piece = body[start : start + most]
                parts += (piece, end) if start == 0 else (_frame(BODY, channel, piece),)
    return b"".join(parts)


def acknowledgements(channel: int, upto: int | None, singles: Sequence[int]) -> bytes:
    """Acknowledge everything up to one delivery tag, if there is one, and others one by one."""
    tags = [(tag, 0) for tag in singles]
    if upto is not None:
        tags.insert(0, (upto, _MULTIPLE))
    return b"".join(
        _ACK_FRAME.pack(METHOD, channel, _ACK_BYTES, ACK, tag, is_multiple, END)
        for tag, is_multiple in tags
    )


def whole_frames(buffer: bytes, max_frame_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """Where the frames that are complete stand: (kind, channel, payload's start, payload's end).

    The next one begins an octet behind the end. Raises MalformedFrame.
    """
    position, size_now = 0, len(buffer)
    unpack, head_bytes = HEAD.unpack_from, HEAD.size
    while size_now - position >= AROUND:
        kind, channel, size = unpack(buffer, position)
        if size > max_frame_bytes - AROUND:
            raise MalformedFrame(f"a frame of {size} bytes")
        start = position + head_bytes
        end = start + size
        if end >= size_now:
            return
        if buffer[end] != END:
            raise MalformedFrame("a frame without its end")
        yield kind, channel, start, end
        position = end + 1


def method_id(buffer: bytes, start: int) -> int:
    """Class and method of a method's payload."""
    number: int = _ID.unpack_from(buffer, start)[0]
    return number


def delivery_tag(buffer: bytes, start: int) -> int:
    """The tag in the payload of a delivery: it follows the consumer's tag."""
    tag: int = _TAG.unpack_from(buffer, start + 5 + buffer[start + 4])[0]
    return tag


def confirmed_tag(buffer: bytes, start: int) -> tuple[int, bool]:
    """The tag in the payload of an `ack` or `nack`, and whether it is meant for all up to it."""
    return _TAG.unpack_from(buffer, start + 4)[0], bool(buffer[start + 12] & _MULTIPLE)


def body_size(buffer: bytes, start: int) -> int:
    """The size that a content header announces."""
    size: int = _CONTENT.unpack_from(buffer, start)[2]
    return size


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return HEAD.pack(kind, channel, len(payload)) + payload + bytes([END])


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded
