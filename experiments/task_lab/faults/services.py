"""What can be done to a running database and a running broker from outside. All calls block."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiormq
import asyncpg

from task_lab.collect.broker import TASK_QUEUE
from task_lab.runtime.rabbitmq import RabbitMQ
from task_lab.statements import statements_of

_STATEMENTS = statements_of(Path(__file__).with_name("faults.sql"))
_TIMEOUT_S = 20.0
_PURGE_EVERY_S = 0.02

# An acknowledgement of a delivery that never was: the broker answers by closing the channel.
_CLOSE_CHANNELS = (
    "Channels = rabbit_channel:list_local(),"
    " [rabbit_channel:do(One, {'basic.ack', 4294967296, false}) || One <- Channels],"
    " length(Channels)."
)
_CLOSE_CONNECTIONS = (
    "Connections = rabbit_networking:connections_local(),"
    ' rabbit_networking:close_connections(Connections, "told to go"),'
    " length(Connections)."
)


def cut_sessions(database_url: str) -> int:
    """End every session of the database but our own; returns how many."""
    return int(asyncio.run(_ask(database_url, "cut_others"))[0]["cut"])


def forbid_writes(database_url: str) -> None:
    """Make every transaction read only, until `allow_writes`."""
    asyncio.run(_ask(database_url, "forbid_writes", "reload"))


def allow_writes(database_url: str) -> None:
    """Take `forbid_writes` back."""
    asyncio.run(_ask(database_url, "allow_writes", "reload"))


def is_read_only(database_url: str) -> bool:
    """Whether a transaction begun now may not write."""
    return bool(asyncio.run(_ask(database_url, "is_read_only"))[0]["read_only"])


def cut_connections(rabbitmq: RabbitMQ) -> int:
    """Close every client's connection from the broker's side; returns how many."""
    return int(rabbitmq.ctl("eval", _CLOSE_CONNECTIONS))


def close_channels(rabbitmq: RabbitMQ) -> int:
    """Close every channel from the broker's side, connections stay; returns how many."""
    return int(rabbitmq.ctl("eval", _CLOSE_CHANNELS))


def keep_purging(amqp_url: str, duration_s: float, over: threading.Event) -> int:
    """Purge the task queue again and again; returns how many messages are gone."""
    return asyncio.run(_keep_purging(amqp_url, duration_s, over))


def delete_queue(amqp_url: str) -> int | None:
    """Delete the task queue; returns how many messages it held ready, None if it was not there."""
    return asyncio.run(_delete_queue(amqp_url))


async def _ask(database_url: str, *names: str) -> list[Any]:
    """Run statements one by one, each in a transaction of its own; returns the last one's rows."""
    connection = await asyncpg.connect(database_url, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
    try:
        rows: list[Any] = []
        for name in names:
            rows = await connection.fetch(_STATEMENTS[name])
        return rows
    finally:
        await connection.close(timeout=5)


async def _keep_purging(amqp_url: str, duration_s: float, over: threading.Event) -> int:
    purged, ends_at = 0, time.monotonic() + duration_s
    async with asyncio.timeout(duration_s + _TIMEOUT_S), aiormq.connect(amqp_url) as connection:
        while time.monotonic() < ends_at and not over.is_set():
            # A missing queue (deleted by an earlier fault, not yet declared again) closes it.
            channel = await connection.channel()
            with suppress(aiormq.exceptions.ChannelNotFoundEntity):
                purged += (await channel.queue_purge(TASK_QUEUE)).message_count or 0
                await channel.close()
            await asyncio.sleep(_PURGE_EVERY_S)
    return purged


async def _delete_queue(amqp_url: str) -> int | None:
    async with asyncio.timeout(_TIMEOUT_S), aiormq.connect(amqp_url) as connection:
        channel = await connection.channel()
        try:
            await channel.queue_declare(TASK_QUEUE, passive=True)
            return (await channel.queue_delete(TASK_QUEUE)).message_count or 0
        except aiormq.exceptions.ChannelNotFoundEntity:
            return None
