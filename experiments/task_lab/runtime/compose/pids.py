"""Which processes of this host are those of containers: none where the engine runs in a machine
of its own, or where this process sees only those of a container."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from task_lab.runtime.compose.containers import Container

PROC = Path("/proc")


def process_groups(containers: Iterable[Container], proc: Path = PROC) -> dict[str, list[int]]:
    """The first process of each running container by the container's name, where it is here."""
    return {one.name: [one.pid] for one in containers if one.is_running and _is_here(one, proc)}


def _is_here(container: Container, proc: Path) -> bool:
    """Whether the process of that id is the container's: its control groups are named for it.

    An id alone may mean another process: each kernel, and each container, counts from 1.
    """
    try:
        return container.id in (proc / str(container.pid) / "cgroup").read_text("utf-8")
    except OSError:
        return False
