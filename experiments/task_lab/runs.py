"""The runs below a results folder: found, named, listed. Reading only.

A run whose run.json cannot be read is one of them, and says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_lab.errors import LabError, UsageError, did_you_mean
from task_lab.store import RESULTS, RunFolder, Unreadable, read_json

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-z]{7}-[0-9a-f]{4}")
_LATEST = re.compile(r"latest(?::(?P<experiment>[^~]+))?(?:~(?P<back>\d+))?")
_SHOWN = 5
NOTHING = "n/a"


@dataclass(frozen=True)
class StoredRun:
    """A run's folder and what its run.json says; `run` is None where `problem` says why not."""

    path: Path
    run: Mapping[str, Any] | None
    problem: str = ""

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def experiment(self) -> str:
        return self.path.parent.name

    @property
    def verdict(self) -> str:
        return self._text("verdict") or "unreadable"

    @property
    def started_at(self) -> str:
        """ISO 8601 UTC; of an unreadable run from its name, empty where that tells nothing."""
        return self._text("started_at") or _time_of(self.id)

    @property
    def ended_at(self) -> str | None:
        return self._text("ended_at")

    @property
    def sha(self) -> str | None:
        return self._text("git", "sha")

    @property
    def is_dirty(self) -> bool:
        return bool(self._said("git", "dirty"))

    @property
    def fingerprint(self) -> str | None:
        return self._text("machine", "fingerprint")

    def _text(self, *names: str) -> str | None:
        said = self._said(*names)
        return said if isinstance(said, str) and said else None

    def _said(self, *names: str) -> Any:
        """A value of run.json; None where there is none."""
        found: Any = self.run
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def find_runs(results: Path = RESULTS, experiment: str | None = None) -> list[StoredRun]:
    """The runs of an experiment, or of all, newest first.

    Raises UsageError for an experiment without any run where others have some.
    """
    found = [
        _stored(folder)
        for folder in results.glob("*/*/")
        if not folder.name.startswith(".") and not folder.parent.name.startswith(".")
        if _ID.fullmatch(folder.name) or (folder / "run.json").is_file()
    ]
    if experiment is not None:
        known = sorted({run.experiment for run in found})
        if known and experiment not in known:
            raise UsageError(f"no run of {experiment!r}{did_you_mean(experiment, known)}")
        found = [run for run in found if run.experiment == experiment]
    return sorted(found, key=lambda run: (run.started_at, run.id), reverse=True)


def resolve_run(name: str, results: Path = RESULTS) -> RunFolder:
    """The run that a caller means. Raises UsageError where that is none, or more than one.

    name: a path (of its folder or of a file in it), a run's id, a part that only one id has,
    `latest`, `latest:EXPERIMENT`, and with `~N` the Nth before that.
    """
    if latest := _LATEST.fullmatch(name):
        return _latest(results, latest["experiment"], int(latest["back"] or 0))
    path = Path(name).expanduser()
    for folder in (path, path.parent) if path.exists() else ():
        if (folder / "run.json").is_file():
            return RunFolder(folder.resolve())
    if path.is_dir() and not _ID.fullmatch(path.name):
        raise UsageError(f"{path} is not the folder of a run: no run.json")
    runs = find_runs(results)
    matching = [run for run in runs if name.strip("/") in f"{run.experiment}/{run.id}"]
    exact = [run for run in matching if run.id == name]
    if len(exact or matching) == 1:
        return RunFolder((exact or matching)[0].path.resolve())
    if matching:
        ids = [f"{run.experiment}/{run.id}" for run in matching]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        raise UsageError(
            f"{name!r} is a part of {len(ids)} runs: {', '.join(ids[:_SHOWN])}{more}; say more"
        )
    if not runs:
        raise UsageError(f"no run {name!r}: there are no runs in {results}")
    hint = did_you_mean(name, [run.id for run in runs]) if len(name) > 8 else ""
    hint = hint if "mean" in hint else "; `task-lab list` shows those there are"
    raise UsageError(f"no run {name!r} in {results}{hint}")


def _latest(results: Path, experiment: str | None, back: int) -> RunFolder:
    runs = find_runs(results, experiment)
    of = f" of {experiment}" if experiment else ""
    if back >= len(runs):
        there = f"there are {len(runs)}" if runs else "there are none"
        raise UsageError(f"no run{of} that far back in {results}: {there}")
    return RunFolder(runs[back].path.resolve())


def headline(folder: Path) -> str:
    """What a run found, in a few words, as the index has it: `sum 1: 2,163, sum 3: 1,323 tasks/s`.

    `n/a` without a summary; `unreadable` for one that cannot be read.
    """
    from task_lab.report.index.found import found_in  # noqa: PLC0415 - draws a page beside

    try:
        return found_in(read_json(folder / "summary.json")).text
    except FileNotFoundError:
        return NOTHING
    except (LabError, OSError, KeyError, TypeError, AttributeError, ValueError):
        return "unreadable"


def _stored(folder: Path) -> StoredRun:
    try:
        return StoredRun(folder, RunFolder(folder).run())
    except Unreadable as error:
        return StoredRun(folder, None, f"run.json: {error.problem}")
    except UsageError as error:
        has_one = (folder / "run.json").exists()
        return StoredRun(folder, None, f"run.json: {error}" if has_one else "no run.json")
    except OSError as error:
        return StoredRun(folder, None, f"run.json: {error.strerror}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return StoredRun(folder, None, f"run.json: {type(error).__name__}: {error}")


def _time_of(run_id: str) -> str:
    """When a run of that id was started, as run.json would have it; empty for no such id."""
    if not _ID.fullmatch(run_id):
        return ""
    date, time = run_id[:8], run_id[9:15]
    return f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}.000+00:00"
