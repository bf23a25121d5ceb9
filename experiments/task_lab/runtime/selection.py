"""Chooses the runtime by name."""

from __future__ import annotations

from pathlib import Path

from task_lab.errors import RuntimeUnavailable, UsageError
from task_lab.runtime.base import Runtime
from task_lab.runtime.native import NativeRuntime

NAMES = ("native", "compose", "auto")


def runtime_for(name: str, folder: Path) -> Runtime:
    """The runtime of that name, not yet up; its logs will go below `folder`.

    `auto` is native: it needs no container engine. Raises `UsageError` for an unknown name,
    `RuntimeUnavailable` for one this version does not have.
    """
    if name in ("native", "auto"):
        return NativeRuntime(folder)
    if name == "compose":
        raise RuntimeUnavailable("the compose runtime is not available yet; use native")
    raise UsageError(f"unknown runtime {name!r}; there are {', '.join(NAMES)}")
