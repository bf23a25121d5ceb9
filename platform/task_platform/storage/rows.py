"""Rows of Postgres as records of the domain."""

from __future__ import annotations

import asyncpg

from task_platform.domain.task import ClaimedTask, State, Task


def task_from_row(row: asyncpg.Record) -> Task:
    """The task in a row that has all columns of `tasks`."""
    return Task(
        id=row["id"],
        tenant=row["tenant"],
        task_type=row["task_type"],
        payload=row["payload"],
        max_retries=row["max_retries"],
        state=State(row["state"]),
        attempts=row["attempts"],
        result=row["result"],
        error=row["error"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        replay_of=row["replay_of"],
    )


def claimed_task_from_row(row: asyncpg.Record) -> ClaimedTask:
    """The claimed task in a row of `claim_tasks`."""
    return ClaimedTask(
        id=row["id"],
        task_type=row["task_type"],
        payload=row["payload"],
        max_retries=row["max_retries"],
        attempt=row["attempts"],
        fence=row["fence"],
        exhausted=row["exhausted"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        claimed_at=row["claimed_at"],
    )
