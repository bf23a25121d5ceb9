"""Reading tasks for clients."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from task_platform.domain.task import FailedAttempt, State, Task
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.rows import task_from_row

# Ids looked at for one page: enough to fill it in all usual cases, few enough to stay at a few
# milliseconds when the wanted state is rare.
SCAN_WINDOW = 5_000
# Of payloads and results: a page ends behind the task that reaches it.
ENOUGH_BYTES = 4_000_000
MAX_FAILURES = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks, newest first. next_cursor: continue below this id; None at the end.

    A page may be short, even empty, and still have a next one: the window had no more matches, or
    its tasks are large.
    """

    tasks: tuple[Task, ...]
    next_cursor: UUID | None


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """A task, and its newest failed attempts, oldest first."""

    task: Task
    failures: tuple[FailedAttempt, ...]


async def get_task(pool: Pool, *, tenant: str, task_id: UUID) -> TaskDetail | None:
    """The task with its failures, or None. Raises DatabaseUnavailable."""
    rows = await fetch(pool, "get_task", tenant, task_id, MAX_FAILURES)
    if not rows:
        return None
    failures = tuple(FailedAttempt(*failure) for failure in reversed(rows[0]["failures"]))
    return TaskDetail(task_from_row(rows[0]), failures)


async def list_tasks(
    pool: Pool,
    *,
    tenant: str,
    before: UUID | None,
    state: State | None,
    task_type: str | None,
    limit: int,
) -> Page:
    """One page of the tenant's tasks. Raises DatabaseUnavailable."""
    rows = await fetch(
        pool,
        "list_tasks",
        tenant,
        before,
        SCAN_WINDOW,
        state.value if state else None,
        task_type,
        limit,
        ENOUGH_BYTES,
    )
    tasks = tuple(task_from_row(row) for row in rows if row["id"] is not None)
    if len(tasks) == limit or len(tasks) < rows[0]["matching"]:
        return Page(tasks, tasks[-1].id)
    window_was_full = rows[0]["scanned"] == SCAN_WINDOW
    return Page(tasks, rows[0]["last_scanned"] if window_was_full else None)
