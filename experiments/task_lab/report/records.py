"""Reads a run folder back into typed records. Reading only: nothing is computed here.

Times are unix seconds (float, UTC) throughout. A file that is absent gives an empty record, because
a run that died half-way is read too; what needs a missing file says so itself.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from task_lab.spec import PhaseKind
from task_lab.store import RunFolder, read_lines

TASK_COLUMNS = (
    "id",
    "task_type",
    "max_retries",
    "state",
    "attempts",
    "fence",
    "created_at",
    "due_at",
    "started_at",
    "finished_at",
    "phase",
    "workload",
    "workers",
)


@dataclass(frozen=True)
class Phase:
    """One stretch of load. `resumed_at`: when a drain's paused workers were let go, else None.

    offered_per_s, duration_s: of a paced load, else None. fraction: of the highest rate found.
    """

    name: str
    kind: PhaseKind
    workload: str
    workers: int
    tasks: int
    round: int | None
    started_at: float
    ended_at: float
    resumed_at: float | None
    offered_per_s: float | None = None
    duration_s: float | None = None
    fraction: float | None = None

    @property
    def is_paced(self) -> bool:
        """Whether its load went by a schedule."""
        return self.offered_per_s is not None


@dataclass(frozen=True)
class Series:
    """One answer line: `at` and `values` have the same shape (n,); NaN where there was no value."""

    labels: Mapping[str, str]
    at: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A range query and its answer."""

    name: str
    query: str
    start: float
    end: float
    step_s: float
    series: tuple[Series, ...]


class RunRecords:
    """Everything a run left in `folder`, each part read when first asked for.

    Raises UsageError when the folder is not a run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run: dict[str, Any] = RunFolder(folder).run()

    @cached_property
    def load(self) -> dict[str, Any]:
        return self._object("load.json")

    @cached_property
    def floor(self) -> dict[str, Any]:
        return self._object("floor.json")

    @cached_property
    def checks(self) -> dict[str, Any]:
        return self._object("checks.json")

    @cached_property
    def memory(self) -> dict[str, Any]:
        """The memory of each container; empty where there were none."""
        return self._object("memory.json")

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return list(read_lines(self.folder / "events.jsonl"))

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that both started and ended, in order of start."""
        return phases_from(self.events)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """What the ledger holds: one row per task, times in unix seconds."""
        path = self.folder / "tasks.parquet"
        return pd.read_parquet(path) if path.is_file() else _frame(iter(()), TASK_COLUMNS)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Passive declares of the queue: `at`, `ready`, `consumers` (NaN: broker away)."""
        frame = _frame(read_lines(self.folder / "samples.jsonl"), ("at", "ready", "consumers"))
        return frame.astype(np.float64)

    @cached_property
    def resource_lines(self) -> list[dict[str, Any]]:
        """What each part used, as it was sampled; empty for runs that were not."""
        return list(read_lines(self.folder / "resources.jsonl"))

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        return {
            path.stem: _metric(json.loads(path.read_text("utf-8")))
            for path in sorted((self.folder / "metrics").glob("*.json"))
        }

    def _object(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        found = json.loads(path.read_text("utf-8")) if path.is_file() else None
        return found if isinstance(found, dict) else {}


def phases_from(events: list[dict[str, Any]]) -> tuple[Phase, ...]:
    """Pairs starts with ends by phase name; a phase that never ended is left out."""
    ends = {e["phase"]: e["at"] for e in events if e["event"] == "phase_ended"}
    resumed = {e["phase"]: e["at"] for e in events if e["event"] == "resumed"}
    started = sorted(
        (e for e in events if e["event"] == "phase_started" and e["phase"] in ends),
        key=lambda e: float(e["at"]),
    )
    return tuple(
        Phase(
            name=e["phase"],
            kind=e["kind"],
            workload=e["workload"],
            workers=e["workers"],
            tasks=e["tasks"],
            round=e.get("round"),
            started_at=e["at"],
            ended_at=ends[e["phase"]],
            resumed_at=resumed.get(e["phase"]),
            offered_per_s=e.get("offered_per_s"),
            duration_s=e.get("duration_s"),
            fraction=e.get("fraction"),
        )
        for e in started
    )


def _metric(found: dict[str, Any]) -> Metric:
    series = tuple(
        Series(
            labels=line["labels"],
            at=np.array([t for t, _ in line["points"]], dtype=np.float64),
            values=np.array([np.nan if v is None else v for _, v in line["points"]], np.float64),
        )
        for line in found["series"]
    )
    return Metric(
        name=found["name"],
        query=found["query"],
        start=found["start"],
        end=found["end"],
        step_s=found["step_s"],
        series=series,
    )


def _frame(rows: Iterator[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame.from_records(list(rows), columns=list(columns))
