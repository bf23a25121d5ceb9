"""Chooses the runtime by name."""

from __future__ import annotations

from pathlib import Path

from task_lab.errors import RuntimeUnavailable, UsageError
from task_lab.runtime.base import Runtime
from task_lab.runtime.native import NativeRuntime

NAMES = ("native", "compose", "auto")


def require_runtime(name: str) -> None:
    """Raise `UsageError` for an unknown name, `RuntimeUnavailable` for one that is not there."""
    if name not in NAMES:
        raise UsageError(f"unknown runtime {name!r}; there are {', '.join(NAMES)}")
    if name == "compose":
        raise RuntimeUnavailable("the compose runtime is not available yet; use native")


def runtime_for(name: str, folder: Path) -> Runtime:
    """The runtime of that name, not yet up; its logs will go below `folder`.

    `auto` is native: it needs no container engine. Raises as `require_runtime` does.
    """
    require_runtime(name)
    return NativeRuntime(folder)
