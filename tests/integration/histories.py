"""A history in one process: what clients saw, the platform come to rest, and its judgement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from task_lab.check.histories import Judgement, Operation, judge_history
from task_lab.check.histories_ledger import Ledger
from task_lab.collect.witness import read_ledger
from task_platform.domain.transitions import TERMINAL
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import submit_tasks

from ..factories import keyed_task


async def submitted(
    pool: Pool,
    count: int = 1,
    *,
    outcome: Any = "ok",
    expected: Any = "SUCCEEDED",
    grace_s: float = 0.0,
    **fields: Any,
) -> list[Operation]:
    """Commit so many equal tasks, each with a key of its own, for the relay to announce.

    outcome: what their client heard; only an "ok" one knows its task.
    """
    tasks = [keyed_task(f"key-{uuid4()}", **fields) for _ in range(count)]
    await submit_tasks(pool, tasks, grace_s=grace_s, key_ttl_s=600)
    return [
        Operation(
            key=task.idempotency_key or "",
            task_type=task.task_type,
            payload=json.loads(task.payload),
            max_retries=task.max_retries,
            outcome=outcome,
            task_id=str(task.id) if outcome == "ok" else None,
            expected=expected,
        )
        for task in tasks
    ]


async def judged(
    settings: Settings, operations: Sequence[Operation], *, within_s: float = 10.0
) -> Judgement:
    """The judgement once the platform is at rest, or on what there is when the time is over."""
    ledger = await _read(settings)
    try:
        async with asyncio.timeout(within_s):
            while not _is_at_rest(ledger):
                await asyncio.sleep(0.1)
                ledger = await _read(settings)
    except TimeoutError:
        ledger = await _read(settings)
    return judge_history(operations, ledger)


async def _read(settings: Settings) -> Ledger:
    return await read_ledger(
        settings.database_url.get_secret_value(), settings.amqp_url.get_secret_value()
    )


def _is_at_rest(ledger: Ledger) -> bool:
    is_open = sum(letter.is_open for letter in ledger.dead_letters)
    return not (ledger.outbox or ledger.claims or ledger.tasks_depth) and (
        is_open == len(ledger.dlq_ids) and all(row.state in TERMINAL for row in ledger.tasks)
    )
