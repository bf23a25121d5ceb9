"""What control groups allow this process: processor time and memory, in both versions of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from task_lab.collect.kernel_files import ROOT, read_number, read_text

_CGROUPS = "sys/fs/cgroup"
# Version 1 says "no limit" by a number near 2⁶³.
_NO_LIMIT_BYTES = 1 << 60


def limits(root: Path = ROOT) -> dict[str, Any]:
    """The tightest limits of this process's group and those around it; None: none, or not told.

    cgroup: the version, 1 or 2. cpu_quota_cores: processor time a second.
    """
    if (root / _CGROUPS / "cgroup.controllers").exists():
        folders = list(_folders(root, ""))
        quotas, bounds = map(_quota_v2, folders), (read_number(f / "memory.max") for f in folders)
        version: int | None = 2
    elif (root / _CGROUPS / "memory").is_dir() or (root / _CGROUPS / "cpu").is_dir():
        quotas = map(_quota_v1, _folders(root, "cpu"))
        memory = _folders(root, "memory")
        bounds = (read_number(folder / "memory.limit_in_bytes") for folder in memory)
        version = 1
    else:
        return {"cgroup": None, "cpu_quota_cores": None, "memory_limit_bytes": None}
    return {
        "cgroup": version,
        "cpu_quota_cores": min((q for q in quotas if q is not None), default=None),
        "memory_limit_bytes": min(
            (b for b in bounds if b is not None and b < _NO_LIMIT_BYTES), default=None
        ),
    }


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folder of our group and those above it, as far as they can be seen from here.

    controller: empty for version 2, which has one tree for all. Inside a container the path may be
    the host's, of which only the top is mounted.
    """
    top = root / _CGROUPS / controller
    path = Path(_own_path(root, controller).lstrip("/"))
    yield from (top / part for part in (path, *path.parents) if (top / part).is_dir())


def _own_path(root: Path, controller: str) -> str:
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = (read_text(folder / "cpu.max") or "max").partition(" ")
    return None if quota == "max" else int(quota) / int(period or 100_000)


def _quota_v1(folder: Path) -> float | None:
    quota = read_number(folder / "cpu.cfs_quota_us")
    period = read_number(folder / "cpu.cfs_period_us")
    return None if not period or quota is None or quota < 0 else quota / period
