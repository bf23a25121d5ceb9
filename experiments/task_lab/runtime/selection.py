"""Chooses the runtime by name."""

from __future__ import annotations

from pathlib import Path

from task_lab.errors import UsageError
from task_lab.runtime.base import Runtime
from task_lab.runtime.compose.engine import engine_problem, require_engine
from task_lab.runtime.compose.runtime import ComposeRuntime
from task_lab.runtime.native import NativeRuntime

NAMES = ("native", "compose", "auto")


def resolve_runtime(name: str) -> str:
    """`native` or `compose`: that name itself, or for `auto` compose where an engine answers.

    Raises `UsageError` for an unknown name, `NoEngine` where compose is asked for in vain.
    """
    if name not in NAMES:
        raise UsageError(f"unknown runtime {name!r}; there are {', '.join(NAMES)}")
    if name == "auto":
        return "native" if engine_problem() else "compose"
    if name == "compose":
        require_engine()
    return name


def runtime_for(name: str, folder: Path) -> Runtime:
    """The runtime of that name, not yet up; its logs will go below `folder`.

    Raises as `resolve_runtime` does.
    """
    if resolve_runtime(name) == "compose":
        return ComposeRuntime(folder)
    return NativeRuntime(folder)
