"""Everything a stopped stack can no longer tell, written to the run folder."""

from __future__ import annotations

import msgspec

from task_lab.check.evidence import history_frame
from task_lab.collect.broker import read_dead_letters
from task_lab.collect.database import Ledger, with_phases
from task_lab.collect.loop import LoopThread
from task_lab.collect.witness import read_ledger
from task_lab.runtime.base import Endpoints
from task_lab.store import RunFolder, write_atomically

_ANSWER_S = 120.0


def keep_ledger(folder: RunFolder, ledger: Ledger) -> int:
    """Write what the database knows as parquet files; returns the number of tasks."""
    started = [event for event in folder.events() if event["event"] == "phase_started"]
    ledger.keys().to_parquet(folder / "keys.parquet", index=False)
    tasks = with_phases(ledger.tasks(), history_frame(folder), started)
    tasks.to_parquet(folder / "tasks.parquet", index=False)
    ledger.dead_letters().to_parquet(folder / "dead_letters.parquet", index=False)
    ledger.attempt_failures().to_parquet(folder / "attempt_failures.parquet", index=False)
    return len(tasks)


def keep_witness(folder: RunFolder, endpoints: Endpoints, loop: LoopThread) -> None:
    """Write witness.json: every change of a task's state, and all that a checker of histories asks.

    See `task_lab.check.histories_ledger.Ledger` for its fields.
    """
    ledger = loop.run(read_ledger(endpoints.database_url, endpoints.amqp_url), _ANSWER_S)
    write_atomically(folder / "witness.json", msgspec.json.encode(ledger).decode())


def keep_dead_letter_queue(folder: RunFolder, amqp_url: str, loop: LoopThread) -> None:
    """Write dlq.json: what `tasks.dlq` holds."""
    folder.write_json("dlq.json", loop.run(read_dead_letters(amqp_url), _ANSWER_S))
