"""Waits, for a bounded time, until the platform has nothing left to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import aiormq
import asyncpg
import httpx
from task_platform.domain.transitions import TERMINAL

from task_lab.collect.broker import DEAD_LETTER_QUEUE, TASK_QUEUE
from task_lab.runtime.base import Endpoints
from task_lab.runtime.platform_process import PlatformProcess
from task_lab.statements import statements_of

_STATEMENTS = statements_of(Path(__file__).with_name("settle.sql"))
_LOOK_EVERY_S = 0.2
_ANSWER_S = 10.0
# Seen at rest so often in a row: a message on its way is for a moment in neither of its places.
_LOOKS_AT_REST = 2


async def settle(
    endpoints: Endpoints,
    processes: Sequence[PlatformProcess],
    *,
    first_id: str,
    within_s: float,
) -> Mapping[str, int]:
    """What is left to do when nothing was, twice in a row, or the time is up: all 0 when settled.

    tasks (not terminal, from `first_id` on), outbox, claims (rows), ready (messages in `tasks`),
    dead_letters (difference between the list and `tasks.dlq`), not_ready (processes).
    """
    ends_at, at_rest = time.monotonic() + within_s, 0
    left = await _left(endpoints, processes, first_id)
    while time.monotonic() < ends_at:
        at_rest = 0 if any(left.values()) else at_rest + 1
        if at_rest == _LOOKS_AT_REST:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
        left = await _left(endpoints, processes, first_id)
    return left


async def _left(
    endpoints: Endpoints, processes: Sequence[PlatformProcess], first_id: str
) -> dict[str, int]:
    connection = await asyncpg.connect(endpoints.database_url, timeout=_ANSWER_S)
    try:
        row = await connection.fetchrow(
            _STATEMENTS["count_unsettled"],
            UUID(first_id),
            sorted(state.value for state in TERMINAL),
            timeout=_ANSWER_S,
        )
        assert row is not None
    finally:
        await connection.close(timeout=5)
    ready, dead = await asyncio.wait_for(_depths(endpoints.amqp_url), _ANSWER_S)
    return {
        "tasks": row["tasks"],
        "outbox": row["outbox"],
        "claims": row["claims"],
        "ready": ready,
        "dead_letters": abs(row["dead"] - dead),
        "not_ready": await _not_ready(processes),
    }


async def _depths(amqp_url: str) -> tuple[int, int]:
    """Messages ready in `tasks` and `tasks.dlq`; a missing queue counts as one message."""
    async with aiormq.connect(amqp_url) as connection:
        return await _depth(connection, TASK_QUEUE), await _depth(connection, DEAD_LETTER_QUEUE)


async def _depth(connection: aiormq.abc.AbstractConnection, queue: str) -> int:
    channel = await connection.channel()
    try:
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
    except aiormq.exceptions.ChannelNotFoundEntity:
        return 1


async def _not_ready(processes: Sequence[PlatformProcess]) -> int:
    async with httpx.AsyncClient(timeout=2) as http:
        return sum(await asyncio.gather(*(_is_not_ready(http, one.url) for one in processes)))


async def _is_not_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return not (await http.get(f"{url}/readyz")).is_success
    except httpx.HTTPError:
        return True
