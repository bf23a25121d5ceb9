"""The ledger: what the platform's database says about every task.

Read only. Synchronous for its callers; asyncpg works in the lab's own loop.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pandas as pd
from task_platform.domain.transitions import TERMINAL

from task_lab.collect.loop import LoopThread

TERMINAL_STATES = sorted(state.value for state in TERMINAL)
_TIMES = (
    "created_at",
    "due_at",
    "started_at",
    "finished_at",
    "ended_at",
    "failed_at",
    "resolved_at",
)
_STATEMENTS = dict(
    re.findall(
        r"^-- name: (\w+)\n(.*?;)",
        Path(__file__).with_name("ledger.sql").read_text("utf-8"),
        re.M | re.S,
    )
)
_FETCH_ROWS = 5_000
_CONNECT_S = 15.0
# A database that was told to restart is back within seconds.
_AWAY_S, _AGAIN_S = 60.0, 0.1
_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    TimeoutError,
)

R = TypeVar("R")


@dataclass(frozen=True)
class Progress:
    """Rows of a range of ids, and how many of them are terminal."""

    total: int
    terminal: int


class Ledger:
    """A connection to the platform's database; a lost one is made anew when next needed."""

    def __init__(self, loop: LoopThread, database_url: str) -> None:
        self._loop = loop
        self._url = database_url
        self._connection: asyncpg.Connection = loop.run(_connect(database_url), _CONNECT_S)

    def progress(self, first_id: str, last_id: str) -> Progress:
        """How far the tasks of an id range are, both ends included."""
        row = self._row("count_tasks", UUID(first_id), UUID(last_id), TERMINAL_STATES)
        return Progress(row["total"], row["terminal"])

    def unfinished(self) -> int:
        """Tasks that are not terminal plus messages not yet sent. Reads the whole table."""
        row = self._row("count_unfinished", TERMINAL_STATES)
        return int(row["tasks"] + row["outbox_rows"])

    def outbox_rows(self) -> int:
        """Messages that still have to reach the broker, in outbox rows."""
        return int(self._row("count_outbox")["outbox_rows"])

    def clock_skew_s(self) -> float:
        """Database clock minus this machine's, to within the round trip."""
        before = time.time()
        now = self._row("clock")["now"]
        return float(now - (before + time.time()) / 2)

    def version(self) -> str:
        """The server's version, such as "PostgreSQL 15.14"."""
        return " ".join(str(self._row("clock")["version"]).split()[:2])

    def tasks(self) -> pd.DataFrame:
        """Every task, in id order.

        Columns of the table without the payload: id as text, timestamps as unix seconds (NaN
        where null), result and error as JSON text (None where null).
        """
        return self._frame("all_tasks")

    def times(self, first_id: str, last_id: str) -> pd.DataFrame:
        """`id`, `due_at`, `started_at`, `finished_at` of an id range, both ends included."""
        return self._frame("task_times", UUID(first_id), UUID(last_id))

    def keys(self) -> pd.DataFrame:
        """Which task each idempotency key stands for: `key`, `task_id`."""
        return self._frame("all_keys")

    def dead_letters(self) -> pd.DataFrame:
        """Every dead letter; columns as in the table, timestamps as unix seconds."""
        return self._frame("all_dead_letters")

    def attempt_failures(self) -> pd.DataFrame:
        """Every attempt that came to no success; timestamps as unix seconds."""
        return self._frame("all_attempt_failures")

    def close(self) -> None:
        """Close the connection."""
        self._loop.run(self._connection.close(timeout=5), 10)

    def _row(self, statement: str, *args: object) -> asyncpg.Record:
        row = self._asked(lambda: self._connection.fetchrow(_STATEMENTS[statement], *args))
        assert row is not None
        return row

    def _asked(self, question: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """The answer. A database that went away meanwhile is asked again as soon as it answers."""
        deadline = time.monotonic() + _AWAY_S
        while True:
            try:
                if self._connection.is_closed():
                    self._connection = self._loop.run(_connect(self._url), _CONNECT_S)
                return self._loop.run(question())
            except _AWAY:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)

    def _frame(self, statement: str, *args: object) -> pd.DataFrame:
        names, rows = self._asked(lambda: self._fetch_all(_STATEMENTS[statement], *args))
        frame = pd.DataFrame(rows, columns=names)
        for name in _TIMES:
            if name in frame:
                frame[name] = frame[name].astype("float64")
        return frame

    async def _fetch_all(
        self, statement: str, *args: object
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        rows: list[tuple[Any, ...]] = []
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            prepared = await self._connection.prepare(statement)
            async for record in prepared.cursor(*args, prefetch=_FETCH_ROWS):
                rows.append(tuple(map(_plain, record)))
        return [attribute.name for attribute in prepared.get_attributes()], rows


async def _connect(database_url: str) -> asyncpg.Connection:
    return await asyncpg.connect(database_url, timeout=10, command_timeout=60)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    return str(value) if isinstance(value, UUID) else value


def with_phases(
    tasks: pd.DataFrame, history: pd.DataFrame, phases: Sequence[dict[str, Any]]
) -> pd.DataFrame:
    """The ledger with `phase`, `index`, `workload` and `workers` of each task.

    None where nobody is known to have sent it. history: `task_id`, `phase` and `index` of
    submissions whose task is known. phases: `phase`, `workload`, `workers`.
    """
    sent = history.loc[history["task_id"].notna(), ["task_id", "phase", "index"]]
    sent = sent.drop_duplicates("task_id")
    about = pd.DataFrame(list(phases), columns=["phase", "workload", "workers"])
    joined = tasks.merge(sent, how="left", left_on="id", right_on="task_id").drop(columns="task_id")
    joined = joined.merge(about.drop_duplicates("phase"), how="left", on="phase")
    joined["workers"] = joined["workers"].astype("Int64")
    joined["index"] = joined["index"].astype("Int64")
    return joined
