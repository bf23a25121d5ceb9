"""Dead letters, made at once: tests of what comes after need no worker that fails them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest
from pamqp.commands import Basic
from task_platform import wire
from task_platform.broker import client, topology
from task_platform.relay import dlq_reconciler
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from uuid_utils.compat import uuid7

QUEUE = topology.DEAD_LETTERS


def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with which the queue is compared ten times a second, and mended at once."""
    monkeypatch.setattr(dlq_reconciler, "_PAUSE", 0.0)
    return settings.model_copy(update={"dlq_check_s": 0.1})


async def dead(pool: Pool, count: int, *, announced: bool = False) -> list[UUID]:
    """So many dead tasks, open. announced: their messages still have to be sent."""
    ids = [uuid7() for _ in range(count)]
    await pool.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, state, attempts, fence, "
        "finished_at) select id, 'default', 'sum', '{}', 0, 'FAILED', 1, 1, now() "
        "from unnest($1::uuid[]) as id",
        ids,
    )
    await pool.execute(
        "insert into dead_letters (task_id, reason, failed_at) "
        "select id, 'RuntimeError', now() from unnest($1::uuid[]) as id",
        ids,
    )
    if announced:
        await pool.execute(
            "insert into outbox (queue, task_ids, due_at, available_at) "
            "values ('tasks.dlq', $1, now(), now())",
            ids,
        )
    return ids


async def resolve(pool: Pool, ids: Sequence[UUID]) -> None:
    """Somebody purges these."""
    await pool.execute(
        "update dead_letters set resolved_at = now(), resolution = 'purged' "
        "where task_id = any($1)",
        ids,
    )


async def taken_from(settings: Settings, queue: str = QUEUE) -> Counter[UUID]:
    """Every readable message of the queue, which is empty afterwards."""
    found: Counter[UUID] = Counter()
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        while True:
            message = await channel.basic_get(queue, no_ack=True)
            if not isinstance(message.delivery, Basic.GetOk):
                return found
            found[wire.decode_message(message.body)] += 1


async def purge_queue(settings: Settings, queue: str = QUEUE) -> None:
    """Somebody empties the queue."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        await channel.queue_purge(queue)
