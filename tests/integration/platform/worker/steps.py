"""What tests of workers do again and again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import announce, submit, until_messages


async def sent(settings: Settings, pool: Pool, count: int = 1, **fields: Any) -> list[UUID]:
    """Tasks that are committed and on the queue, their outbox row left alone."""
    ids = await submit(pool, count, grace_s=3_600, **fields)
    await announce(settings, ids)
    return ids


async def nothing_left(settings: Settings, pool: Pool) -> None:
    """After a drain no message, claim or running task is left behind."""
    await until_messages(settings, 0)
    assert await pool.fetchval("select count(*) from claims") == 0
    assert await pool.fetchval("select count(*) from tasks where state = 'PROCESSING'") == 0
