"""From outbox row to confirmed message, for the API (from memory) and the relay (from disk)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from task_platform.broker.publisher import Publisher
from task_platform.storage import outbox
from task_platform.storage.outbox import OutboxRow
from task_platform.storage.pool import Pool


async def announce(
    pool: Pool, publisher: Publisher, rows: Sequence[OutboxRow], *, retry_in_s: float
) -> tuple[int, int]:
    """Publish the rows' tasks and settle the rows; returns how many (were sent, remain).

    A message may go out twice (a crash between confirm and delete): claims make that harmless.
    Raises DatabaseUnavailable; what was confirmed is then announced again, which is harmless too.
    """
    by_queue: dict[str, dict[UUID, None]] = defaultdict(dict)
    for row in rows:
        by_queue[row.queue].update(dict.fromkeys(row.task_ids))
    confirmed: dict[str, set[UUID]] = {}
    for queue, task_ids in by_queue.items():
        confirmed[queue] = await publisher.publish(queue, list(task_ids))
    remaining = 0
    for queue in by_queue:
        remaining += await outbox.settle_outbox_rows(
            pool,
            [row for row in rows if row.queue == queue],
            confirmed[queue],
            retry_in_s=retry_in_s,
        )
    return sum(map(len, confirmed.values())), remaining
