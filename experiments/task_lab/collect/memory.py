"""How much memory each container of the stack used, by one definition on both cgroup versions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from task_lab.errors import LabError
from task_lab.runtime.base import Runtime
from task_lab.runtime.compose.runtime import ComposeRuntime
from task_lab.store import RunFolder

FILE = "memory.json"
DEFINITION = (
    "memory that the container's processes hold: what its cgroup is charged with (`usage`) less "
    "pages of files that may be dropped at any time (`inactive_file`; in cgroup 1 "
    "`total_inactive_file`)"
)


def keep_memory(folder: RunFolder, runtime: Runtime) -> None:
    """Write memory.json: the memory of each container now. Nothing where there are no containers.

    The raw fields are the engine's own, so that another definition can be applied later. A run
    whose engine does not tell is still a run, and says why it has no figures.
    """
    if not isinstance(runtime, ComposeRuntime):
        return
    try:
        document = memory_document(runtime.memory_stats(), at=time.time())
    except LabError as error:
        document = {**memory_document({}, at=time.time()), "reason": str(error)}
    folder.write_json(FILE, document)


def memory_document(stats: Mapping[str, Mapping[str, Any]], *, at: float) -> dict[str, Any]:
    """What memory.json holds. stats: the engine's `memory_stats` by container's name."""
    return {
        "definition": DEFINITION,
        "at": at,
        "containers": [
            {
                "name": name,
                "held_bytes": held_bytes(raw),
                "cgroup": cgroup_version(raw),
                "raw": dict(raw),
            }
            for name, raw in sorted(stats.items())
        ],
    }


def held_bytes(memory_stats: Mapping[str, Any]) -> int | None:
    """The memory of one container; see `DEFINITION`. None where the engine has no figures."""
    version = cgroup_version(memory_stats)
    if version is None:
        return None
    dropped = "total_inactive_file" if version == 1 else "inactive_file"
    return int(memory_stats["usage"] - memory_stats["stats"][dropped])


def cgroup_version(memory_stats: Mapping[str, Any]) -> int | None:
    """1 or 2, told apart by the names of the fields; None without figures."""
    fields = memory_stats.get("stats") or {}
    if "usage" not in memory_stats or "inactive_file" not in fields:
        return None
    # Version 1 counts a cgroup's own pages, and with `total_` those of the ones below as well.
    return 1 if "total_inactive_file" in fields else 2
