"""The other end of a link, spoken by the test: bytes in, bytes out, no network between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pamqp import body, commands, frame, header
from task_platform.broker.amqp import frames
from task_platform.broker.amqp.channel import AmqpChannel
from task_platform.broker.amqp.link import AmqpLink
from yarl import URL

ADDRESS = URL("amqp://user:secret@localhost/some%2Fvhost")


class Recorder(asyncio.Transport):
    """What the link has sent, and whether it hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def abort(self) -> None:
        self.is_closed = True

    close = abort


class Server:
    """Plays the broker to one link."""

    def __init__(self) -> None:
        self.link = AmqpLink()
        self.transport = Recorder()
        self.link.connection_made(self.transport)

    def heard(self) -> list[Any]:
        """The methods, headers and bodies that have come since the last time."""
        encoded, self.transport.sent = self.transport.sent, b""
        found = []
        if encoded.startswith(frames.PROTOCOL_HEADER):
            encoded = encoded[len(frames.PROTOCOL_HEADER) :]
        while encoded:
            consumed, _, one = frame.unmarshal(encoded)
            encoded = encoded[consumed:]
            found.append(one)
        return found

    def say(self, *parts: Any, channel: int = 0) -> None:
        """Send these methods, headers and bodies in one piece."""
        self.link.data_received(b"".join(frame.marshal(part, channel) for part in parts))

    async def open_link(self, *, heartbeat_s: int = 0, frame_max: int = 4_096) -> None:
        """Shake hands."""
        shaking = asyncio.create_task(
            self.link.shake_hands(ADDRESS, name="test", heartbeat_s=heartbeat_s)
        )
        await turns()
        self.say(commands.Connection.Start(server_properties={}))
        await turns()
        self.say(commands.Connection.Tune(2_047, frame_max, 60))
        await turns()
        self.say(commands.Connection.OpenOk())
        await shaking

    async def open_channel(self, *, confirms: bool = True) -> AmqpChannel:
        """Open the next channel; the first is number 1."""
        opening = asyncio.create_task(self.link.open_channel(confirms=confirms))
        await turns()
        number = self.link._last_channel
        self.say(commands.Channel.OpenOk(), channel=number)
        await turns()
        if confirms:
            self.say(commands.Confirm.SelectOk(), channel=number)
        channel = await opening
        self.heard()
        return channel


async def opened(**link: int) -> tuple[Server, AmqpChannel]:
    """A server, and the first channel of a link to it."""
    server = Server()
    await server.open_link(**link)
    return server, await server.open_channel()


def delivery(tag: int, *pieces: bytes) -> list[Any]:
    """A message as it is delivered, its body in these pieces."""
    method = commands.Basic.Deliver(
        "ctag", tag, redelivered=False, exchange="", routing_key="tasks"
    )
    return [method, *content(pieces)]


def returned(text: bytes) -> list[Any]:
    """A message as it comes back."""
    return [commands.Basic.Return(312, "NO_ROUTE", "", "tasks"), *content([text])]


def content(pieces: Iterable[bytes]) -> list[Any]:
    size = sum(map(len, pieces))
    head = header.ContentHeader(0, size, commands.Basic.Properties())
    return [head, *(body.ContentBody(piece) for piece in pieces)]


async def turns(count: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)
