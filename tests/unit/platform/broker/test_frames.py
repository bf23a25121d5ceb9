"""Our encoding against another's: pamqp reads what we write, and we cut what it writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header
from task_platform.broker.amqp import frames

BODIES = st.lists(st.binary(max_size=300), max_size=20)
# The smallest that the protocol allows is larger; the cutting is the same.
FRAME_BYTES = st.integers(min_value=frames.AROUND + 1, max_value=400)


def decoded(encoded: bytes) -> Iterator[tuple[int, Any]]:
    while encoded:
        consumed, channel, one = frame.unmarshal(encoded)
        encoded = encoded[consumed:]
        yield channel, one


def messages(encoded: bytes) -> Iterator[tuple[Any, Any, bytes]]:
    """(method, header, body) of each message."""
    parts = [one for _, one in decoded(encoded)]
    while parts:
        method, head = parts.pop(0), parts.pop(0)
        content = b""
        while parts and isinstance(parts[0], body.ContentBody):
            content += parts.pop(0).value
        yield method, head, content


@given(bodies=BODIES, max_frame_bytes=FRAME_BYTES, mandatory=st.booleans())
def test_a_batch_of_publishes_is_what_pamqp_reads(
    bodies: list[bytes], max_frame_bytes: int, mandatory: bool
) -> None:
    encoded = frames.publishes(
        7,
        "tasks",
        bodies,
        content_type="application/json",
        mandatory=mandatory,
        max_frame_bytes=max_frame_bytes,
    )
    read = list(messages(encoded))
    assert [content for _, _, content in read] == bodies
    for (method, head, content), sent in zip(read, bodies, strict=True):
        assert isinstance(method, commands.Basic.Publish)
        assert (method.exchange, method.routing_key) == ("", "tasks")
        assert (method.mandatory, method.immediate) == (mandatory, False)
        assert isinstance(head, header.ContentHeader)
        assert head.body_size == len(sent) == len(content)
        assert head.properties.delivery_mode == 2
        assert head.properties.content_type == "application/json"


@given(bodies=BODIES, max_frame_bytes=FRAME_BYTES)
def test_no_body_frame_is_larger_than_was_agreed(bodies: list[bytes], max_frame_bytes: int) -> None:
    encoded = frames.publishes(
        1, "q", bodies, content_type="t", mandatory=True, max_frame_bytes=max_frame_bytes
    )
    found = frames.whole_frames(encoded, frames.MAX_FRAME_BYTES)
    sizes = [end - start + frames.AROUND for kind, _, start, end in found if kind == frames.BODY]
    assert all(size <= max_frame_bytes for size in sizes)


@given(
    upto=st.none() | st.integers(min_value=1, max_value=2**63 - 1),
    singles=st.lists(st.integers(min_value=1, max_value=2**63 - 1)),
)
def test_acknowledgements_are_what_pamqp_reads(upto: int | None, singles: list[int]) -> None:
    read = list(decoded(frames.acknowledgements(3, upto, singles)))
    assert all(channel == 3 and isinstance(one, commands.Basic.Ack) for channel, one in read)
    expected = [] if upto is None else [(upto, True)]
    expected += [(tag, False) for tag in singles]
    assert [(one.delivery_tag, one.multiple) for _, one in read] == expected


METHODS: Sequence[Any] = (
    commands.Basic.Deliver("ctag1.a", 12, redelivered=True, exchange="", routing_key="tasks"),
    commands.Basic.Deliver("", 2**62, exchange="x" * 127, routing_key=""),
    commands.Basic.Ack(9, multiple=True),
    commands.Basic.Nack(10, multiple=False, requeue=True),
    commands.Basic.Return(312, "NO_ROUTE", "", "tasks"),
    commands.Queue.DeclareOk("tasks", 3, 1),
)


def test_the_numbers_of_hot_methods_are_read_as_pamqp_wrote_them() -> None:
    encoded = b"".join(frame.marshal(method, 5) for method in METHODS)
    found = list(frames.whole_frames(encoded, frames.MAX_FRAME_BYTES))
    starts = [start for _, _, start, _ in found]
    assert {(kind, channel) for kind, channel, _, _ in found} == {(frames.METHOD, 5)}
    hot = [frames.DELIVER, frames.DELIVER, frames.ACK, frames.NACK, frames.RETURN]
    assert [frames.method_id(encoded, start) for start in starts[:5]] == hot
    assert frames.delivery_tag(encoded, starts[0]) == 12
    assert frames.delivery_tag(encoded, starts[1]) == 2**62
    assert frames.confirmed_tag(encoded, starts[2]) == (9, True)
    # `requeue` stands in the same octet.
    assert frames.confirmed_tag(encoded, starts[3]) == (10, False)


@given(size=st.integers(min_value=0, max_value=2**63))
def test_the_size_of_a_body_is_read_from_its_header(size: int) -> None:
    encoded = frame.marshal(header.ContentHeader(0, size, commands.Basic.Properties()), 1)
    ((_, _, start, _),) = frames.whole_frames(encoded, frames.MAX_FRAME_BYTES)
    assert frames.body_size(encoded, start) == size


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    cuts=st.lists(st.integers(min_value=0, max_value=1_000)),
)
def test_however_the_stream_is_cut_the_same_frames_come_out(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame.marshal(body.ContentBody(each), 1) for each in bodies)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    rest, seen = b"", []
    for start, end in pairwise(places):
        buffer = rest + stream[start:end]
        taken = 0
        for _, _, first, last in frames.whole_frames(buffer, frames.MAX_FRAME_BYTES):
            seen.append(buffer[first:last])
            taken = last + 1
        rest = buffer[taken:]
    assert (seen, rest) == (bodies, b"")


@pytest.mark.parametrize(
    "wrong",
    [
        frames.HEAD.pack(frames.BODY, 1, 3) + b"abc\x00",
        frames.HEAD.pack(frames.BODY, 1, frames.MAX_FRAME_BYTES) + b"a",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["without its end", "larger than was agreed", "another protocol"],
)
def test_what_is_no_frame_is_refused(wrong: bytes) -> None:
    with pytest.raises(frames.MalformedFrame):
        list(frames.whole_frames(wrong, frames.MAX_FRAME_BYTES))
