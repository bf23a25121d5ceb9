"""What the checks look at, read from the run folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from pyarrow.lib import ArrowException

from task_lab.check.histories_ledger import Ledger
from task_lab.check.raw_counters import RawCounters, read_raw_counters
from task_lab.errors import InvalidRun
from task_lab.history import Submission, key_prefix, read_history
from task_lab.spec import Phase, Spec, read_spec
from task_lab.store import RunFolder, Unreadable

_COUNTERS = ("processed", "failed")
_RAW_FILES = ("history.jsonl", "tasks.parquet", "dead_letters.parquet", "dlq.json", "load.json")


@dataclass(frozen=True)
class InstanceCount:
    """One instance's counter over the run: its first and last raw values, and how often it fell."""

    first: float
    last: float
    resets: float

    @property
    def counted(self) -> float:
        """What it counted between its first and its last scrape."""
        return self.last - self.first


# Compared by identity: what was found in one is remembered, and frames are never equal as a whole.
@dataclass(frozen=True, eq=False)
class Evidence:
    """A finished run.

    history: one row per submitted task, columns of `Submission`.
    tasks: the ledger, one row per task: id, state, attempts, max_retries, fence, result (JSON
    text), created_at, started_at, finished_at (unix seconds, NaN where null), phase.
    dead_letters: task_id, resolved_at. dlq_ids: the task ids that `tasks.dlq` holds.
    prometheus: counter (processed, failed) → instance → its values; None where nothing was read.
    generator_problems: why the generator may have been the limit. generator: what it said of each
    phase, by its name; None where that was not kept.
    failures: attempts that came to no success: task_id, fence, outcome; None where none were kept.
    given_back, retried: instance → claimed tasks it returned unrun, attempts it saw fail that are
    to be retried; None where nothing was read.
    clock_skew_s: the ledger's clock minus the client's.
    witness: every record of every task, where the run was witnessed. raw: the workers' counters,
    sample by sample; None where nothing was read.
    """

    spec: Spec
    history: pd.DataFrame
    tasks: pd.DataFrame
    dead_letters: pd.DataFrame
    dlq_ids: Sequence[str]
    events: Sequence[Mapping[str, Any]]
    prometheus: Mapping[str, Mapping[str, InstanceCount]] | None
    generator_problems: Sequence[str] = field(default_factory=list)
    failures: pd.DataFrame | None = None
    given_back: Mapping[str, InstanceCount] | None = None
    retried: Mapping[str, InstanceCount] | None = None
    clock_skew_s: float = 0.0
    witness: Ledger | None = None
    raw: RawCounters | None = None
    generator: Mapping[str, Mapping[str, Any]] | None = None

    def phases(self) -> list[Phase]:
        """Every phase the run meant to have: as it announced them, or as its spec knows them."""
        plans = [event["phases"] for event in self.events if event["event"] == "plan"]
        announced = [Phase.model_validate(phase) for plan in plans for phase in plan]
        return announced or self.spec.phases()


class EvidenceMissing(InvalidRun):
    """The run's raw files are not all there; `missing` is the first that is not."""

    def __init__(self, folder: RunFolder, missing: str, text: str) -> None:
        super().__init__(f"{folder.path} {text}: no {missing}")
        self.folder, self.missing = folder.path, missing


class NeverCollected(EvidenceMissing):
    """The run ended before its evidence was on disk."""

    def __init__(self, folder: RunFolder, missing: str) -> None:
        super().__init__(folder, missing, "ended before its evidence was collected")


class RawFilesGone(EvidenceMissing):
    """The run came to its end, and this folder, from a commit for example, has less of it."""

    def __init__(self, folder: RunFolder, missing: str) -> None:
        text = (
            "is a finished run without its raw files, which are not kept with a committed report;"
            " what stands in it cannot be made anew"
        )
        super().__init__(folder, missing, text)


def read_evidence(folder: RunFolder) -> Evidence:
    """The run's evidence. Raises NeverCollected; RawFilesGone where the run came to its end."""
    run = folder.run()
    missing = next((name for name in _RAW_FILES if not (folder / name).exists()), None)
    if missing is not None:
        raise (RawFilesGone if run["ended"] == "completed" else NeverCollected)(folder, missing)
    load = folder.read_json("load.json")
    return Evidence(
        spec=read_spec(run["params"]["resolved"]),
        history=history_frame(folder),
        tasks=read_table(folder / "tasks.parquet"),
        dead_letters=read_table(folder / "dead_letters.parquet"),
        dlq_ids=folder.read_json("dlq.json")["message_ids"],
        events=folder.events(),
        prometheus=_counters(folder),
        failures=_failures(folder),
        given_back=_counter(folder, "given_back"),
        retried=_counter(folder, "retried"),
        clock_skew_s=run.get("clock_skew_s") or 0.0,
        generator_problems=load["reasons"],
        generator=load.get("phases"),
        witness=_witness(folder),
        raw=read_raw_counters(folder),
    )


def history_frame(folder: RunFolder) -> pd.DataFrame:
    """history.jsonl, one row per submitted task.

    A submission that carried a key and got no answer has the task that its key stands for.
    """
    path = folder / "history.jsonl"
    try:
        rows = [msgspec.structs.astuple(one) for one in read_history(path)]
    except msgspec.MsgspecError as error:
        raise Unreadable(path, str(error)) from error
    history = pd.DataFrame(rows, columns=list(Submission.__struct_fields__))
    keys = folder / "keys.parquet"
    return with_keyed(history, read_table(keys)) if keys.exists() else history


def read_table(path: Path) -> pd.DataFrame:
    """A parquet file. Raises Unreadable."""
    try:
        return pd.read_parquet(path)
    except (ArrowException, OSError) as error:
        raise Unreadable(path, str(error)) from error


def with_keyed(history: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """The history with the task of each key that went unanswered. keys: `key`, `task_id`."""
    task_of = keys.set_index("key")["task_id"]
    sent = history["phase"].map(key_prefix) + history["index"].astype(str)
    is_open = history["outcome"] == "unknown"
    found = history["task_id"].where(~is_open, sent.map(task_of))
    return history.assign(task_id=found.astype(object).where(found.notna(), None))


def _witness(folder: RunFolder) -> Ledger | None:
    path = folder / "witness.json"
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except msgspec.MsgspecError as error:
        raise Unreadable(path, str(error)) from error


def _failures(folder: RunFolder) -> pd.DataFrame | None:
    """attempt_failures.parquet; runs of an earlier version have none."""
    path = folder / "attempt_failures.parquet"
    return read_table(path) if path.exists() else None


def _counters(folder: RunFolder) -> dict[str, dict[str, InstanceCount]] | None:
    counters = {name: _counter(folder, name) for name in _COUNTERS}
    known = {name: counts for name, counts in counters.items() if counts is not None}
    return known if len(known) == len(counters) else None


def _counter(folder: RunFolder, name: str) -> dict[str, InstanceCount] | None:
    first, last, resets = (
        _by_instance(folder, f"{name}_{end}") for end in ("first", "last", "resets")
    )
    if first is None or last is None or resets is None:
        return None
    return {
        instance: InstanceCount(first[instance], last[instance], resets[instance])
        for instance in last
    }


def _by_instance(folder: RunFolder, name: str) -> dict[str, float] | None:
    """Last value of each instance's series; None where the query had no answer."""
    try:
        document = folder.read_json(f"metrics/{name}.json")
    except FileNotFoundError:
        return None
    if "problem" in document:
        return None
    return {one["labels"]["instance"]: one["points"][-1][1] for one in document["series"]}
