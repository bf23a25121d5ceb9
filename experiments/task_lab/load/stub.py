"""A server that answers every POST at once: what the generator can do when nothing holds it back.

A process of its own, several times faster than the generator. It does no work and keeps no state;
the first line it prints is its URL. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

_BODY = b'{"id":"01890000-0000-7000-8000-000000000000","state":"QUEUED"}'
_ANSWER = (
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (len(_BODY), _BODY)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(_ANSWER)


async def serve() -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    end_of_input = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(end_of_input), sys.stdin)
    await end_of_input.read()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
