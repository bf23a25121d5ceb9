"""Which old runs may go, and how they go: whole or not at all.

Never those that git tracks, the newest PASS of an experiment, or one that may still be running.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from task_lab.errors import LabError
from task_lab.runs import StoredRun

# Three levels down no run is looked for, so one that is on its way out is in no list.
PRUNED = ".pruned"
# A run without an end that wrote nothing for so long was killed.
_SILENT_S = 3600.0


@dataclass(frozen=True)
class Kept:
    """A run that the rule would delete, and why it stays all the same."""

    run: StoredRun
    reason: str


@dataclass(frozen=True)
class Plan:
    """What goes, oldest first, and what stays although the rule would have it."""

    delete: Sequence[StoredRun]
    kept: Sequence[Kept]


class GitUnknown(LabError):
    """Which runs git tracks cannot be found out, so none may be deleted."""


def plan_prune(
    runs: Sequence[StoredRun],
    *,
    keep: int | None,
    older_than: timedelta | None,
    tracked: Collection[Path],
    now: datetime,
    running: Collection[Path] = (),
) -> Plan:
    """The runs to delete: of each experiment all but the newest `keep`, if they are old enough.

    runs: newest first. With one of the two rules None the other decides alone. tracked, running:
    folders that must stay. A run whose age cannot be told stays.
    """
    newest_pass = {
        experiment: next((r for r in runs if _is_pass(r, experiment)), None)
        for experiment in {run.experiment for run in runs}
    }
    seen: dict[str, int] = {}
    delete: list[StoredRun] = []
    kept: list[Kept] = []
    for run in runs:
        seen[run.experiment] = seen.get(run.experiment, 0) + 1
        if keep is not None and seen[run.experiment] <= keep:
            continue
        started = _moment(run.started_at)
        if older_than is not None and started is not None and now - started <= older_than:
            continue
        if reason := _reason_to_stay(run, newest_pass, tracked, running):
            kept.append(Kept(run, reason))
        elif older_than is not None and started is None:
            kept.append(Kept(run, "when it was started cannot be told"))
        else:
            delete.append(run)
    return Plan(delete[::-1], kept[::-1])


def _reason_to_stay(
    run: StoredRun,
    newest_pass: dict[str, StoredRun | None],
    tracked: Collection[Path],
    running: Collection[Path],
) -> str:
    if run.path in tracked:
        return "git tracks it"
    if run == newest_pass[run.experiment]:
        return f"the newest PASS of {run.experiment}"
    return "it may still be running" if run.path in running else ""


def tracked_runs(results: Path) -> set[Path]:
    """Folders of runs of which git tracks a file. None outside a checkout. Raises GitUnknown."""
    if not results.is_dir() or not any((p / ".git").exists() for p in _upwards(results)):
        return set()
    try:
        listed = subprocess.run(
            ["git", "-C", str(results), "ls-files", "-z", "--", "."],
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        told = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip() or error
        raise GitUnknown(
            f"git does not say which runs it tracks, so none is deleted: {told}"
        ) from error
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    parts = [Path(name).parts for name in names]
    return {results / one[0] / one[1] for one in parts if len(one) > 2}


def may_be_running(run: StoredRun, now: datetime) -> bool:
    """Whether a run has no end yet and wrote something lately."""
    if run.run is not None and run.ended_at is not None:
        return False
    try:
        written = max(path.stat().st_mtime for path in [run.path, *run.path.iterdir()])
    except OSError:
        return True
    return now.timestamp() - written < _SILENT_S


def delete_runs(results: Path, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Delete runs and what an earlier prune left; returns those that were there to delete.

    Each is moved out of sight first, in one step: a prune that is cut leaves no half run behind.
    """
    trash = results / PRUNED
    gone = []
    for run in runs:
        target = trash / run.experiment / f"{run.id}-{secrets.token_hex(4)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            run.path.rename(target)
        except FileNotFoundError:
            continue  # somebody else was faster
        gone.append(run)
        shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(trash, ignore_errors=True)
    return gone


def size_bytes(folder: Path) -> int:
    """How much the files of a run hold."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _upwards(folder: Path) -> list[Path]:
    whole = folder.resolve()
    return [whole, *whole.parents]


def _is_pass(run: StoredRun, experiment: str) -> bool:
    return run.experiment == experiment and run.verdict == "PASS"


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
