"""Can this machine run the lab? Each need is looked at alone, so that one answer names them all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from task_lab.errors import DataFolderUnusable, LabError, NotEnoughDisk, RuntimeUnavailable
from task_lab.runtime.instance import DATA_ROOT_VARIABLE, DEFAULT_DATA_ROOT, NEEDED_BYTES
from task_lab.runtime.programs import SERVERS, find_programs, unprivileged_user


@dataclass(frozen=True)
class Finding:
    """One need, whether the machine meets it, and what was seen or what to do."""

    need: str
    is_met: bool
    detail: str


class MachineUnfit(RuntimeUnavailable):
    """The machine cannot run the lab; `findings` are all the needs it does not meet."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{finding.need}: {finding.detail}" for finding in findings))
        self.findings = list(findings)


def require_fit() -> None:
    """Raise MachineUnfit, before anything is started, unless every need is met."""
    if unmet := [finding for finding in examine() if not finding.is_met]:
        raise MachineUnfit(unmet)


def examine() -> list[Finding]:
    """Every need of the native runtime, met or not. Starts nothing."""
    return [_look(need, look) for need, look in _NEEDS]


def _look(need: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(need, True, look())
    except LabError as error:
        return Finding(need, False, str(error))


def _programs() -> str:
    return ", ".join(str(path) for path in find_programs(SERVERS).values())


def _database_user() -> str:
    return unprivileged_user() or "this user"


def _disk() -> str:
    root = Path(os.environ.get(DATA_ROOT_VARIABLE) or DEFAULT_DATA_ROOT)
    try:
        free_bytes = shutil.disk_usage(root).free
    except OSError as error:
        raise DataFolderUnusable(root, error.strerror or str(error)) from error
    if free_bytes < NEEDED_BYTES:
        raise NotEnoughDisk(root, free_bytes=free_bytes, needed_bytes=NEEDED_BYTES)
    return f"{free_bytes / 2**30:.1f} GiB free in {root}"


def _cores() -> str:
    return f"{len(os.sched_getaffinity(0))} cores"


_NEEDS: Sequence[tuple[str, Callable[[], str]]] = (
    ("server programs", _programs),
    ("a user for the database", _database_user),
    ("disk space", _disk),
    ("processor", _cores),
)
