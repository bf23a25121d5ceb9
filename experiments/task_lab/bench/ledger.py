"""The database as the bench looks at it: cheaply while work goes on, exactly afterwards.

Whoever counts thousands of rows every few milliseconds takes a share of the few cores from what is
being measured. So the end of a drain is first looked for in its last task alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from task_platform.domain.task import State
from task_platform.domain.transitions import TERMINAL

from task_lab.bench.measurements import PromisedLess
from task_lab.bench.plan import Workload
from task_lab.collect.loop import LoopThread
from task_lab.statements import statements_of

STATEMENTS = statements_of(Path(__file__).with_name("ledger.sql"))
_TERMINAL = sorted(state.value for state in TERMINAL)
_LOOK_EVERY_S = 0.02
_STATEMENT_S = 120.0
# Far more than a commit takes.
_QUIET_S = 0.5
# The slowest thing measured is one worker whose tasks wait: 500 a second.
_SLOWEST_PER_S = 250.0
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Range:
    """Tasks submitted together; ids rise with time, so their ends bound them."""

    first_id: str
    last_id: str
    tasks: int


@dataclass(frozen=True, slots=True)
class Times:
    """A task's times, in unix seconds."""

    due_at: float
    started_at: float
    finished_at: float


class BenchLedger:
    """A connection to the platform's database, for synchronous callers."""

    def __init__(self, loop: LoopThread, database_url: str) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(
            asyncpg.connect(database_url, timeout=10, command_timeout=_STATEMENT_S), 15
        )

    def wait_announced(self, tasks: int) -> float:
        """Wait until everything committed has reached the broker; returns when, in unix seconds.

        Raises PromisedLess when that takes too long.
        """
        return _wait(
            lambda: bool(self.row("is_outbox_empty")["is_empty"]),
            patience_s(tasks),
            "committed tasks did not reach the broker",
            look_every_s=_LOOK_EVERY_S / 4,
        )

    def wait_finished(self, tasks: Range, workload: Workload) -> float:
        """Wait for the end of these tasks; returns when the last result was committed (unix s).

        Raises PromisedLess unless each of them succeeded, with the result its kind calls for.
        """
        first, last = UUID(tasks.first_id), UUID(tasks.last_id)
        late = f"{tasks.tasks:,} tasks were accepted and did not all finish"
        _wait(
            lambda: bool(self.row("is_over", last, _TERMINAL)["is_over"]),
            patience_s(tasks.tasks),
            late,
        )
        _wait(
            lambda: self.row("count_open", first, last, _TERMINAL)["open"] == 0,
            patience_s(tasks.tasks),
            late,
        )
        row = self.row("outcome", first, last, State.SUCCEEDED, workload.expect)
        if not tasks.tasks == row["total"] == row["succeeded"]:
            raise PromisedLess(
                f"{tasks.tasks:,} tasks were accepted, {row['total']:,} are in the ledger, and"
                f" {row['succeeded']:,} succeeded with the right result"
            )
        return float(row["last_finished_at"])

    def times(self, tasks: Range) -> dict[str, Times]:
        """When each task was due, begun and finished, by its id."""
        rows = self._loop.run(
            self.connection.fetch(STATEMENTS["times"], UUID(tasks.first_id), UUID(tasks.last_id))
        )
        return {
            str(row["id"]): Times(row["due_at"], row["started_at"], row["finished_at"])
            for row in rows
        }

    def everything(self) -> Range:
        """All tasks there are, once none comes any more. Raises PromisedLess when there are none.

        A client that has hung up may have left requests behind, which are still being accepted.
        """
        before, row = -1, self.row("everything")
        while row["tasks"] != before:
            before = row["tasks"]
            time.sleep(_QUIET_S)
            row = self.row("everything")
        if row["first_id"] is None:
            raise PromisedLess("no task is in the ledger")
        return Range(str(row["first_id"]), str(row["last_id"]), row["tasks"])

    def by_state(self) -> dict[str, int]:
        """How many tasks there are in each state that has any."""
        rows = self._loop.run(self.connection.fetch(STATEMENTS["count_by_state"]))
        return {row["state"]: int(row["tasks"]) for row in rows}

    def row(self, statement: str, *args: object) -> asyncpg.Record:
        """The one row of a named statement."""
        row = self._loop.run(self.connection.fetchrow(STATEMENTS[statement], *args))
        if row is None:
            raise PromisedLess(f"an accepted task has no row ({statement})")
        return row

    def execute(self, *statements: str) -> None:
        """Run statements one after the other, each in a transaction of its own."""
        for statement in statements:
            self._loop.run(self.connection.execute(statement))

    def close(self) -> None:
        """Close the connection."""
        self._loop.run(self.connection.close(timeout=5), 10)


def patience_s(tasks: int) -> float:
    """Seconds after which so many tasks are stuck, not slow."""
    return _GRACE_S + tasks / _SLOWEST_PER_S


def _wait(
    is_done: Callable[[], bool],
    within_s: float,
    otherwise: str,
    *,
    look_every_s: float = _LOOK_EVERY_S,
) -> float:
    ends_at = time.monotonic() + within_s
    while not is_done():
        if time.monotonic() > ends_at:
            raise PromisedLess(f"{otherwise} within {within_s:.0f} s")
        time.sleep(look_every_s)
    return time.time()
