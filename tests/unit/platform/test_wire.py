"""The message: it names a task, and nothing else can be read out of any bytes."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.wire import UnreadableMessage, decode_message, encode_message

ID = str(uuid4()).encode()


@given(st.uuids())
def test_the_task_is_read_back(task_id: UUID) -> None:
    assert decode_message(encode_message(task_id)) == task_id


@given(st.binary())
def test_other_bytes_are_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode_message(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"v":2,"id":"%s"}' % ID,
        b'{"id":"%s"}' % ID,
        b'{"v":1}',
        b'{"v":1,"id":"nope"}',
        b'{"v":"1","id":"%s"}' % ID,
        b'[1,"%s"]' % ID,
        b'{"x":' + b"[" * 100_000,
    ],
    ids=["newer", "no version", "no id", "bad id", "text version", "list", "deep"],
)
def test_a_message_that_is_not_ours_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode_message(body)


def test_a_field_of_a_later_writer_is_no_hindrance() -> None:
    assert decode_message(b'{"v":1,"id":"%s","trace":"x"}' % ID) == UUID(ID.decode())
