"""The witness: a trigger that notes every change of a task's state or fence, and the reading back.

The trigger and its table belong to the lab: they stand in the platform's database for the time of
an experiment, never in its migrations. A note commits with the change it tells of, or not at all.
"""

from __future__ import annotations

from task_lab.check.histories_ledger import Ledger


async def install_witness(database_url: str) -> None:
    """Put the trigger on `tasks`, before the first task is submitted. Safe to repeat."""
    raise NotImplementedError


async def read_ledger(database_url: str, amqp_url: str, *, first_id: str | None = None) -> Ledger:
    """Everything that the platform says of its tasks, from one snapshot, then of its queues.

    first_id: leave out tasks with lower ids (ids rise with time). The messages of `tasks.dlq` are
    put back; nobody else can see them meanwhile.
    """
    raise NotImplementedError
