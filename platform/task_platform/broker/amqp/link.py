"""One connection of our own driver: handshake, heartbeats, and the end of it all."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from importlib.metadata import version
from struct import error as StructError  # noqa: N812 - an error like the others
from typing import Any, cast

from pamqp import commands, frame
from pamqp.exceptions import PAMQPException
from yarl import URL

from task_platform.broker.amqp import frames
from task_platform.broker.amqp.channel import CLOSE_TIMEOUT_S, AmqpChannel
from task_platform.broker.links import Link, LinkLost
from task_platform.errors import BrokerUnavailable
from task_platform.settings import Settings

CONNECT_TIMEOUT_S = 5.0
_PORTS = {"amqp": 5672, "amqps": 5671}
# One beat is half a heartbeat. A server that says nothing during so many of ours is gone: with the
# default heartbeat, after 10 to 12 s. Beats, not seconds: what came while this process stood still
# has not been read when it goes on.
_SILENT_BEATS = 5
_MOST_CHANNELS = 100
_HIGHEST_CHANNEL = 65_535
_CAPABILITIES = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


async def connect_amqp(settings: Settings, *, name: str) -> AmqpLink:
    """An open connection, within `CONNECT_TIMEOUT_S`. Raises BrokerUnavailable."""
    url = URL(settings.amqp_url.get_secret_value())
    link: AmqpLink | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, link = await asyncio.get_running_loop().create_connection(
                AmqpLink,
                url.host or "127.0.0.1",
                url.port or _PORTS[url.scheme],
                ssl=_tls(url) if url.scheme == "amqps" else None,
            )
            await link.shake_hands(url, name=name, heartbeat_s=settings.broker_heartbeat_s)
    except BaseException as error:
        if link is not None:
            link.abandon(LinkLost("the connection was not opened"))
        if isinstance(error, OSError | TimeoutError):
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
        raise
    return link


class AmqpLink(asyncio.Protocol):
    """One connection; implements `links.Link`."""

    def __init__(self) -> None:
        self.max_frame_bytes = frames.MAX_FRAME_BYTES
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._channels: dict[int, AmqpChannel] = {}
        self._last_channel = 0
        # The answer to the handshake's last step, and later to `close`.
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._end: LinkLost | None = None
        self._heartbeat_s = 0.0
        self._silent_beats = 0
        self._beat: asyncio.TimerHandle | None = None
        self._is_blocked = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_closed(self) -> bool:
        return self._end is not None

    @property
    def is_blocked(self) -> bool:
        """Whether the broker, short of memory or disk, reads nothing from here for now."""
        return self._is_blocked

    async def shake_hands(self, url: URL, *, name: str, heartbeat_s: int) -> None:
        """Open the connection on a new transport. Raises LinkLost."""
        self.write(frames.PROTOCOL_HEADER)
        await self._next(commands.Connection.Start)
        properties: Any = {
            "product": "task-platform",
            "version": version("task-platform"),
            "connection_name": f"task-platform {name}",
            "capabilities": _CAPABILITIES,
        }
        log_in = f"\0{url.user or 'guest'}\0{url.password or 'guest'}"
        self.send(commands.Connection.StartOk(properties, "PLAIN", log_in, "en_US"), 0)
        tune = await self._next(commands.Connection.Tune)
        self.max_frame_bytes = tune.frame_max or frames.MAX_FRAME_BYTES
        self._heartbeat_s = float(heartbeat_s)
        channels = min(_MOST_CHANNELS, tune.channel_max or _MOST_CHANNELS)
        self.send(commands.Connection.TuneOk(channels, self.max_frame_bytes, heartbeat_s), 0)
        # As a path, an empty one and a slash alone both name the vhost `/`.
        self.send(commands.Connection.Open(url.path[1:] or "/"), 0)
        await self._next(commands.Connection.OpenOk)
        self._keep_beating()

    async def open_channel(self, *, confirms: bool) -> AmqpChannel:
        """A new channel. Raises BrokerUnavailable."""
        self._refuse_when_closed()
        number = self._free_number()
        channel = self._channels[number] = AmqpChannel(number, self)
        try:
            await channel.open(confirms=confirms)
        except BaseException:
            channel.lost(LinkLost("the channel was not opened"))
            raise
        return channel

    async def close(self) -> None:
        """Close it in bounded time, without complaint, whatever its state."""
        try:
            if self._end is None:
                with suppress(TimeoutError, BrokerUnavailable):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        self.send(commands.Connection.Close(200, "", 0, 0), 0)
                        await self._next(commands.Connection.CloseOk)
        finally:
            self.abandon(LinkLost("the connection was closed"))

    def abandon(self, why: LinkLost) -> None:
        """End it here, at once."""
        self._note_end(why)
        if self._transport is not None:
            self._transport.abort()

    def send(self, method: Any, channel: int) -> None:
        """Send one method."""
        self.write(frame.marshal(method, channel))

    def write(self, encoded: bytes) -> None:
        """Send whole frames; to a dead connection, nothing."""
        if self._transport is not None and self._end is None:
            self._transport.write(encoded)

    async def until_writable(self) -> None:
        """Wait until the broker reads what was written. Raises LinkLost."""
        await self._writable.wait()
        self._refuse_when_closed()

    def forget(self, channel: int) -> None:
        """Drop a channel that is closed on both sides."""
        self._channels.pop(channel, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_end(LinkLost(f"the connection was lost: {exc or 'closed by the broker'}"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._silent_beats = 0
        buffer = self._rest + data if self._rest else data
        taken = 0
        touched: dict[int, AmqpChannel] = {}
        try:
            for kind, number, start, end in frames.whole_frames(buffer, self.max_frame_bytes):
                taken = end + 1
                channel = self._channels.get(number)
                if channel is not None:
                    touched[number] = channel
                    if not channel.take(buffer, kind, start, end):
                        channel.take_method(_decoded(buffer, start, taken))
                elif number == 0 and kind == frames.METHOD:
                    self._take_method(_decoded(buffer, start, taken))
        except (frames.MalformedFrame, PAMQPException, StructError, IndexError) as error:
            self.abandon(LinkLost(f"what came is not AMQP: {error}"))
            return
        self._rest = buffer[taken:]
        for channel in touched.values():
            channel.hand_over()

    def _take_method(self, method: Any) -> None:
        """Take a method of the connection itself."""
        match method:
            case commands.Connection.Close():
                self.send(commands.Connection.CloseOk(), 0)
                why = f"{method.reply_code} {method.reply_text}"
                self._note_end(LinkLost(why, method.reply_code or 0))
                assert self._transport is not None
                self._transport.close()
            case commands.Connection.Blocked():
                self._is_blocked = True
            case commands.Connection.Unblocked():
                self._is_blocked = False
            case _ if not self._answer.done():
                self._answer.set_result(method)

    def _free_number(self) -> int:
        """The number of the next channel: the one that has not been used for longest."""
        for _ in range(_HIGHEST_CHANNEL):
            self._last_channel = self._last_channel % _HIGHEST_CHANNEL + 1
            if self._last_channel not in self._channels:
                return self._last_channel
        raise BrokerUnavailable("every channel of this connection is taken")

    async def _next(self, expected: type) -> Any:
        """The next method of the connection itself. Raises LinkLost."""
        self._refuse_when_closed()
        method = await self._answer
        self._answer = asyncio.get_running_loop().create_future()
        if not isinstance(method, expected):
            raise LinkLost(f"{type(method).__name__} came where {expected.__name__} should")
        return method

    def _keep_beating(self) -> None:
        """Send heartbeats, and give up a server that has fallen silent."""
        if self._end is not None or self._heartbeat_s == 0:
            return
        self._silent_beats += 1
        if self._silent_beats > _SILENT_BEATS:
            self.abandon(LinkLost("the broker has fallen silent"))
            return
        self.write(frames.HEARTBEAT_FRAME)
        self._beat = asyncio.get_running_loop().call_later(
            self._heartbeat_s / 2, self._keep_beating
        )

    def _note_end(self, why: LinkLost) -> None:
        if self._end is not None:
            return
        self._end = why
        self._writable.set()
        if self._beat is not None:
            self._beat.cancel()
        if not self._answer.done():
            self._answer.set_exception(why)
            # Nobody may be waiting.
            self._answer.exception()
        for channel in self._channels.values():
            channel.lost(why)
        self._channels.clear()

    def _refuse_when_closed(self) -> None:
        if self._end is not None:
            raise LinkLost(str(self._end), self._end.code)


def _decoded(buffer: bytes, start: int, end: int) -> Any:
    """The method of a whole frame that ends before `end`."""
    return frame.unmarshal(buffer[start - frames.HEAD.size : end])[2]


def _tls(url: URL) -> ssl.SSLContext:
    """As the query of the address asks: `cafile`, `capath`, `certfile`, `keyfile`,
    `no_verify_ssl=1`."""
    query = url.query
    context = ssl.create_default_context(cafile=query.get("cafile"), capath=query.get("capath"))
    if certificate := query.get("certfile"):
        context.load_cert_chain(certificate, query.get("keyfile"))
    if query.get("no_verify_ssl", "0") not in ("", "0"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


_: type[Link] = AmqpLink
