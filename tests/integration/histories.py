"""A history in one process: what clients saw, the platform come to rest, and its judgement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from time import monotonic
from typing import Any
from uuid import uuid4

from task_lab.check.histories import Judgement, Operation, Permitted, judge_history
from task_lab.check.histories_ledger import NOTHING_ELSE, Ledger
from task_lab.collect.witness import read_ledger
from task_platform.domain.transitions import TERMINAL
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import submit_tasks

from ..factories import keyed_task

# What is only between two hands comes to light sooner than this.
_LOST_AFTER_S = 1.0


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
    settings: Settings,
    operations: Sequence[Operation],
    *,
    lost: int = 0,
    within_s: float = 15.0,
    permitted: Permitted = NOTHING_ELSE,
) -> Judgement:
    """The judgement once the platform is at rest, or on what there is when the time is over.

    lost: so many tasks nobody remembers any more; it is at rest when that has been so for a while.
    """
    rest_s = _LOST_AFTER_S if lost else 0.0
    resting_since = None
    deadline = monotonic() + within_s
    while True:
        ledger = await _read(settings)
        if not _is_at_rest(ledger, lost):
            resting_since = None
        elif resting_since is None:
            resting_since = monotonic()
        is_over = resting_since is not None and monotonic() - resting_since >= rest_s
        if is_over or monotonic() > deadline:
            return judge_history(operations, ledger, permitted)
        await asyncio.sleep(0.1)


async def _read(settings: Settings) -> Ledger:
    return await read_ledger(
        settings.database_url.get_secret_value(), settings.amqp_url.get_secret_value()
    )


def _is_at_rest(ledger: Ledger, lost: int) -> bool:
    open_letters = sum(letter.is_open for letter in ledger.dead_letters)
    open_tasks = sum(row.state not in TERMINAL for row in ledger.tasks)
    on_its_way = ledger.outbox or ledger.claims or ledger.tasks_depth
    return not on_its_way and (open_letters, open_tasks) == (len(ledger.dlq_ids), lost)
