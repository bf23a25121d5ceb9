"""Writes of one turn leave together, in order, and before anything that ends the connection."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.api.http_writes import GatheredTransport


class Recorder(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []
        self.is_gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def write_eof(self) -> None:
        self.said.append("eof")

    def close(self) -> None:
        self.said.append("close")

    def is_closing(self) -> bool:
        return self.is_gone


@pytest.fixture
async def recorder() -> Recorder:
    """What has reached the connection."""
    return Recorder()


@pytest.fixture
async def transport(recorder: Recorder) -> GatheredTransport:
    """The transport that is tested."""
    return GatheredTransport(recorder, asyncio.get_running_loop())


async def test_one_turn_is_one_piece(recorder: Recorder, transport: GatheredTransport) -> None:
    transport.write(b"head ")
    transport.write(b"body")
    assert recorder.said == []
    await asyncio.sleep(0)
    assert recorder.said == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert recorder.said == [b"head body", b"next"]


@pytest.mark.parametrize(("end", "said"), [("close", "close"), ("write_eof", "eof")])
async def test_what_was_said_leaves_before_the_end(
    recorder: Recorder, transport: GatheredTransport, end: str, said: str
) -> None:
    transport.write(b"last words")
    getattr(transport, end)()
    await asyncio.sleep(0)
    assert recorder.said == [b"last words", said]


async def test_nothing_is_said_to_who_has_gone(
    recorder: Recorder, transport: GatheredTransport
) -> None:
    transport.write(b"too late")
    recorder.is_gone = True
    await asyncio.sleep(0)
    assert (recorder.said, transport.is_closing()) == ([], True)
