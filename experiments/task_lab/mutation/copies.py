"""A copy of a run whose files can be changed the way a defect would have changed them.

A change to a task, a failed attempt or a dead letter reaches every file that was read from the same
table, so that what is found is the defect and not two files that differ.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from task_platform.domain.task import State

from task_lab.check.evidence import read_evidence
from task_lab.check.parts import parts_of
from task_lab.spec import Part
from task_lab.store import RunFolder, write_atomically

Record = dict[str, Any]
WITNESS = "witness.json"
# What no verdict asks for, and what is made anew.
_LEFT_OUT = shutil.ignore_patterns(
    "logs", "resources.jsonl", "report.ipynb", "checks.json", "summary.json", "summary.md", ".*"
)


def _is_plain(part: Part) -> bool:
    """Whether its tasks succeed at once."""
    return part.ends == State.SUCCEEDED and part.attempts == 1


class Unfit(Exception):
    """The run has nothing that this sabotage could change."""


class Copy:
    """A run's copy; `folder` is the copy's own."""

    def __init__(self, of: Path, to: Path) -> None:
        shutil.copytree(of, to, ignore=_LEFT_OUT)
        if (of / "report.ipynb").exists():
            (to / "report.ipynb").touch()
        self.folder = RunFolder(to)

    def path(self, name: str) -> Path:
        """A file of the copy."""
        return self.folder / name

    def run(self) -> Record:
        """run.json."""
        return self.folder.run()

    def edit_json(self, name: str, change: Callable[[Any], object]) -> None:
        """Change a document in place; `change` may also return another one."""
        document = self.folder.read_json(name)
        self.folder.write_json(name, change(document) or document)

    # events.jsonl, history.jsonl

    def lines(self, name: str) -> list[Record]:
        """The records of a file of lines."""
        return [json.loads(line) for line in self.path(name).read_text("utf-8").splitlines()]

    def write_lines(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace the records of a file of lines."""
        text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in records)
        write_atomically(self.path(name), text)

    def edit_event(self, name: str, **fields: object) -> None:
        """Set fields of the last event of that name."""
        events = self.lines("events.jsonl")
        last_of(events, name).update(fields)
        self.write_lines("events.jsonl", events)

    def forget_events(self, is_forgotten: Callable[[Record], bool]) -> None:
        """Take events away."""
        kept = [event for event in self.lines("events.jsonl") if not is_forgotten(event)]
        self.write_lines("events.jsonl", kept)

    # the ledger

    def tasks(self) -> pd.DataFrame:
        """The ledger."""
        return pd.read_parquet(self.path("tasks.parquet"))

    def write_tasks(self, tasks: pd.DataFrame) -> None:
        """Replace the ledger."""
        tasks.to_parquet(self.path("tasks.parquet"), index=False)

    def victim(self, is_one: Callable[[Part], bool] = _is_plain) -> Record:
        """A task from the middle of those of such a part, of a measured phase. Raises Unfit."""
        parts = parts_of(read_evidence(self.folder))
        tasks = self.tasks()
        is_measured = tasks["phase"].notna() & ~tasks["phase"].astype(str).str.endswith("warmup")
        fit = tasks[parts.map(lambda part: part is not None and is_one(part)) & is_measured]
        if fit.empty:
            raise Unfit
        return {str(name): value for name, value in fit.iloc[len(fit) // 2].to_dict().items()}

    def set_task(self, task_id: str, **fields: Any) -> None:
        """Set fields of a task's row, wherever it is written."""
        tasks = self.tasks()
        row = tasks["id"] == task_id
        for name, value in fields.items():
            if value is None and tasks[name].dtype != "float64":
                tasks[name] = tasks[name].astype(object)
            tasks.loc[row, name] = value
        self.write_tasks(tasks)
        self.edit_witness("tasks", lambda one: {**one, **_known(one, fields)}, of=task_id)

    def drop_tasks(self, ids: Iterable[str]) -> None:
        """Delete tasks with all that the ledger has of them; what was counted stays."""
        gone = set(ids)
        tasks = self.tasks()
        self.write_tasks(tasks[~tasks["id"].isin(gone)])
        for name in ("attempt_failures.parquet", "dead_letters.parquet", "keys.parquet"):
            self.edit_table(name, lambda rows: rows[~rows["task_id"].isin(gone)])
        self._forget_in_witness(gone)

    def edit_table(self, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change a table of the ledger; one that the run did not keep stays away."""
        if self.path(name).exists():
            changed = change(pd.read_parquet(self.path(name)))
            changed.to_parquet(self.path(name), index=False)

    # the witness

    def witness(self) -> Record:
        """witness.json. Raises Unfit where the run has none."""
        if not self.path(WITNESS).exists():
            raise Unfit
        found: Record = self.folder.read_json(WITNESS)
        return found

    def edit_witness(
        self, table: str, change: Callable[[Record], Record | None], *, of: str
    ) -> None:
        """Change what a table of the witness has of a task; None deletes the record.

        A run without a witness stays without one.
        """
        if not self.path(WITNESS).exists():
            return
        document = self.witness()
        key = "id" if table == "tasks" else "task_id"
        changed = [change(one) if one[key] == of else one for one in document[table]]
        document[table] = [one for one in changed if one is not None]
        self.folder.write_json(WITNESS, document)

    def _forget_in_witness(self, gone: set[str]) -> None:
        if not self.path(WITNESS).exists():
            return
        document = self.witness()
        for table, key in (
            ("tasks", "id"),
            *((name, "task_id") for name in _OF_A_TASK),
        ):
            document[table] = [one for one in document[table] if one[key] not in gone]
        document["keys"] = {k: ids for k, ids in document["keys"].items() if not gone & set(ids)}
        self.folder.write_json(WITNESS, document)

    # the queue and the counters

    def set_messages(self, change: Callable[[list[str]], list[str]]) -> None:
        """Change which messages `tasks.dlq` holds."""
        ids = change(list(self.folder.read_json("dlq.json")["message_ids"]))
        self.edit_json("dlq.json", lambda one: {**one, "message_ids": ids, "count": len(ids)})
        if self.path(WITNESS).exists():
            self.edit_json(WITNESS, lambda one: {**one, "dlq_ids": ids})

    def count_more(self, more: int, counter: str = "processed") -> None:
        """Let a worker's counter end higher (or lower) than it did."""
        self.edit_json(f"metrics/{counter}_last.json", lambda one: _ends_higher(one, more))
        if self.path(f"metrics/{counter}_raw.json").exists():
            self.edit_json(f"metrics/{counter}_raw.json", lambda one: _ends_higher(one, more))


_OF_A_TASK = ("failures", "dead_letters", "effect_log", "effects", "transitions")


def last_of(events: list[Record], name: str) -> Record:
    """The last event of that name. Raises Unfit."""
    found = [event for event in events if event["event"] == name]
    if not found:
        raise Unfit
    return found[-1]


def _known(record: Mapping[str, Any], fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name in record}


def _ends_higher(answer: Record, more: int) -> None:
    """The instance that counted most, so that no counter ends below zero.

    Where less is counted, the samples before the last go no higher than that: nothing falls.
    """
    if not answer["series"]:
        raise Unfit
    fullest = max(answer["series"], key=lambda one: float(one["points"][-1][1] or 0))
    points = fullest["points"]
    points[-1][1] += more
    for point in reversed(points[:-1]):
        if point[1] is None or point[1] <= points[-1][1]:
            return
        point[1] = points[-1][1]
