"""The effect ledger: what executions of a task did once, under the fence that they held."""

from __future__ import annotations

from uuid import UUID

from task_platform.domain.task import ClaimedTask
from task_platform.domain.transitions import Event, sources
from task_platform.errors import LeaseLost
from task_platform.storage.outcomes import DONE_STATE
from task_platform.storage.transactions import Connection, fetch_on

# Whoever may complete a task holds it.
_HELD = sources(Event.COMPLETED)


async def recorded_effect(connection: Connection, task: ClaimedTask, name: str) -> str | None:
    """The recorded result, as JSON text. Raises LeaseLost when the task is not held any more."""
    (row,) = await fetch_on(connection, "recorded_effect", task.id, task.fence, _HELD, name)
    if not row["is_held"]:
        raise LeaseLost(f"another execution owns the task: fence {task.fence} is not valid now")
    result: str | None = row["result"]
    return result


async def record_effect(connection: Connection, task: ClaimedTask, name: str, result: str) -> bool:
    """Record a result; False when there is one of this name. Raises LeaseLost."""
    (row,) = await fetch_on(connection, "record_effect", task.id, task.fence, _HELD, name, result)
    if not row["is_held"]:
        raise LeaseLost(f"another execution owns the task: fence {task.fence} is not valid now")
    is_new: bool = row["is_new"]
    return is_new


async def is_recorded(connection: Connection, task: ClaimedTask, name: str) -> bool:
    """Whether an effect is recorded; waits for a transaction that may yet. Raises LeaseLost."""
    await fetch_on(connection, "settled_task", task.id)
    return await recorded_effect(connection, task, name) is not None


async def is_completed(connection: Connection, task: ClaimedTask) -> bool:
    """Whether this very execution completed the task; waits for a transaction that may yet."""
    rows = await fetch_on(connection, "settled_task", task.id)
    return [(row["state"], row["fence"]) for row in rows] == [(DONE_STATE, task.fence)]


async def log_effect(connection: Connection, task_id: UUID, fence: int, kind: str) -> None:
    """Leave a line in the effect log. kind: `started` or `guarded`."""
    await fetch_on(connection, "log_effect", task_id, fence, kind)
