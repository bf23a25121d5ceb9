"""A link to a server that tests can cut, freeze, strand and heal, without touching the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from task_platform.settings import Settings


class Link:
    """Forwards TCP from a port of its own to a server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def heal(self) -> None:
        """Accept connections, and let through what was held back."""
        self._flowing.set()
        self._answering.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def freeze(self) -> None:
        """Let nothing through any more, and tell nobody."""
        self._flowing.clear()

    def mute(self) -> None:
        """Let the server hear everything, and nobody hear the server, until it is healed."""
        self._answering.clear()

    def strand(self) -> None:
        """Freeze what is connected now, for ever; whoever connects again is served."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        flowing = self._flowing
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            try:
                await asyncio.gather(
                    self._pump(reader, server_writer, flowing),
                    self._pump(server_reader, writer, flowing, self._answering),
                )
            finally:
                server_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event
    ) -> None:
        while data := await reader.read(65_536):
            for gate in gates:
                await gate.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[tuple[Link, str]]:
    """A link to the server of a URL, and the URL that leads over it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    link = Link(parts.hostname, parts.port)
    await link.heal()
    try:
        userinfo, _, _ = parts.netloc.rpartition("@")
        netloc = f"{userinfo}@127.0.0.1:{link.port}" if userinfo else f"127.0.0.1:{link.port}"
        yield link, parts._replace(netloc=netloc).geturl()
    finally:
        with suppress(OSError):
            await link.cut()


@asynccontextmanager
async def linked_database(
    settings: Settings, **changes: Any
) -> AsyncIterator[tuple[Link, Settings]]:
    """A link to the database, and the settings that lead over it, with these changes besides."""
    async with linked(settings.database_url.get_secret_value()) as (link, url):
        yield link, settings.model_copy(update={"database_url": SecretStr(url), **changes})


@asynccontextmanager
async def linked_broker(settings: Settings, **changes: Any) -> AsyncIterator[tuple[Link, Settings]]:
    """A link to the broker, and the settings that lead over it, with these changes besides."""
    async with linked(settings.amqp_url.get_secret_value()) as (link, url):
        yield link, settings.model_copy(update={"amqp_url": SecretStr(url), **changes})
