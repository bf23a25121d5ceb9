"""From outbox row to confirmed message, for the API (from memory) and the relay (from disk)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import inf
from time import monotonic
from uuid import UUID

from task_platform.broker.publisher import PIPELINE, Publisher
from task_platform.storage import outbox
from task_platform.storage.outbox import OutboxRow
from task_platform.storage.pool import Pool

# Messages sent before their rows are settled: enough that settling costs little beside it, few
# enough that whoever is interrupted repeats little.
_PORTION = 2_000


async def announce(
    pool: Pool,
    publisher: Publisher,
    rows: Sequence[OutboxRow],
    *,
    retry_in_s: float,
    ends_at: float = inf,
) -> tuple[int, int]:
    """Publish the tasks of rows of one queue, a portion at a time, and settle each portion.

    Returns how many messages (were sent, remain). What remains comes up again: at once when the
    time (`ends_at`, monotonic) was over, after `retry_in_s` when the broker did not take it.
    A message may go out twice (a crash between confirm and settling): claims make that harmless.
    Raises DatabaseUnavailable; what was confirmed last is then announced again, as harmlessly.
    """
    sent = 0
    portions = _portions(rows)
    for portion in portions:
        confirmed, is_late = await _publish(publisher, portion, ends_at)
        sent += len(confirmed)
        wait_s = 0.0 if is_late else retry_in_s
        remaining = await outbox.settle_outbox_rows(pool, portion, confirmed, retry_in_s=wait_s)
        if remaining:
            behind = [row for portion in portions for row in portion]
            if behind:
                await outbox.release_outbox_rows(pool, [row.id for row in behind], in_s=wait_s)
            return sent, remaining + sum(len(row.task_ids) for row in behind)
    return sent, 0


def _portions(rows: Sequence[OutboxRow]) -> Iterator[list[OutboxRow]]:
    """The rows in order, cut into portions; a row is never cut."""
    portion: list[OutboxRow] = []
    size = 0
    for row in rows:
        if portion and size + len(row.task_ids) > _PORTION:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += len(row.task_ids)
    if portion:
        yield portion


async def _publish(
    publisher: Publisher, rows: Sequence[OutboxRow], ends_at: float
) -> tuple[set[UUID], bool]:
    """What was confirmed, and whether the time was over before the end."""
    wanted = iter(dict.fromkeys(task_id for row in rows for task_id in row.task_ids))
    confirmed: set[UUID] = set()
    while chunk := list(islice(wanted, PIPELINE)):
        if monotonic() >= ends_at:
            return confirmed, True
        arrived = await publisher.publish(rows[0].queue, chunk)
        confirmed |= arrived
        if len(arrived) < len(chunk):
            break
    return confirmed, False
