"""The witness: a trigger that notes every change of a task's state or fence, and the reading back.

The trigger and its table belong to the lab: they stand in the platform's database for the time of
an experiment, never in its migrations. A note commits with the change it tells of, or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import UUID

import aiormq
import asyncpg
from task_platform.domain.task import State

from task_lab.check.histories_ledger import (
    DeadLetter,
    FailedAttempt,
    Ledger,
    LoggedEffect,
    OpenClaim,
    RecordedEffect,
    TaskRow,
    Transition,
    UnsentRow,
)
from task_lab.collect.broker import TASK_QUEUE, read_dead_letters
from task_lab.statements import statements_of

_STATEMENTS = statements_of(Path(__file__).with_name("witness.sql"))
_START = UUID(int=0)
_TIMEOUT_S = 60.0


async def install_witness(database_url: str) -> None:
    """Put the trigger on `tasks`, before the first task is submitted. Safe to repeat."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=_TIMEOUT_S)
    try:
        async with connection.transaction():
            await connection.execute(_STATEMENTS["install"])
    finally:
        await connection.close(timeout=5)


async def read_ledger(database_url: str, amqp_url: str, *, first_id: str | None = None) -> Ledger:
    """Everything that the platform says of its tasks, from one snapshot, then of its queues.

    first_id: leave out tasks with lower ids (ids rise with time). The messages of `tasks.dlq` are
    put back; nobody else can see them meanwhile. What is not at rest yet shows as a difference
    between the two readings: read again then.
    """
    rows = await _read_database(database_url, UUID(first_id) if first_id else _START)
    tasks_depth = await _tasks_depth(amqp_url)
    dead = (await read_dead_letters(amqp_url))["message_ids"]
    keys: dict[str, list[str]] = defaultdict(list)
    for row in rows["keys"]:
        keys[row["key"]].append(row["task_id"])
    return Ledger(
        tasks=[TaskRow(**{**row, "state": State(row["state"])}) for row in rows["tasks"]],
        keys=dict(keys),
        failures=[FailedAttempt(**row) for row in rows["failures"]],
        dead_letters=[DeadLetter(**row) for row in rows["dead_letters"]],
        effect_log=[LoggedEffect(**row) for row in rows["effect_log"]],
        effects=[RecordedEffect(**row) for row in rows["effects"]],
        claims=[OpenClaim(**{**row, "task_ids": tuple(row["task_ids"])}) for row in rows["claims"]],
        outbox=[UnsentRow(row["queue"], tuple(row["task_ids"])) for row in rows["outbox"]],
        transitions=[
            Transition(**{**row, "before": _state(row["before"]), "after": _state(row["after"])})
            for row in rows["transitions"]
        ],
        dlq_ids=[one for one in dead if first_id is None or UUID(one) >= UUID(first_id)],
        tasks_depth=tasks_depth,
    )


def _state(name: str | None) -> State | None:
    return None if name is None else State(name)


async def _read_database(database_url: str, first_id: UUID) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=_TIMEOUT_S)
    rows: dict[str, list[dict[str, Any]]] = {}
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, text in _STATEMENTS.items():
                if name != "install":
                    found = await connection.fetch(text, *([first_id] if "$1" in text else []))
                    rows[name] = [dict(row) for row in found]
    finally:
        await connection.close(timeout=5)
    return rows


async def _tasks_depth(amqp_url: str) -> int:
    connection = await aiormq.connect(amqp_url)
    try:
        channel = await connection.channel()
        return (await channel.queue_declare(TASK_QUEUE, passive=True)).message_count or 0
    finally:
        await connection.close()
