"""CPU seconds by part of the stack, read from the kernel's own accounts.

A part is some processes and all that descend from them, those included that have ended: Linux adds
the time of a child to its parent's account once the parent has waited for it. So Postgres' sessions
count with Postgres, whether they are still there or not, and Erlang's machine with the script that
started it. Lost is only a child that nobody waits for, and what has left its parent to live on its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import psutil


class CpuMeter:
    """Reads the CPU seconds of parts of the stack.

    groups: process ids by part; each stands for itself and its descendants. A process that does
    not exist counts as nothing.
    """

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._roots = {
            part: [root for pid in pids if (root := _process(pid))] for part, pids in groups.items()
        }
        self._highest = dict.fromkeys(groups, 0.0)

    def read(self) -> dict[str, float]:
        """CPU seconds so far, user and system, by part; never less than at an earlier reading.

        A part whose processes are gone keeps what was read last.
        """
        parents = _parents()
        for part, roots in self._roots.items():
            # A process id may have been given to somebody else meanwhile.
            alive = [root.pid for root in roots if root.is_running()]
            seconds = sum(_seconds(pid) for pid in with_descendants(alive, parents))
            # Between a child's end and its parent's taking note it is in no account.
            self._highest[part] = max(self._highest[part], seconds)
        return dict(self._highest)


def with_descendants(roots: Iterable[int], parents: Mapping[int, int]) -> list[int]:
    """The roots and all that descend from them, each once, parents first.

    parents: each process' parent.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, None] = dict.fromkeys(roots)
    pending = list(found)
    for pid in pending:
        fresh = [child for child in children.get(pid, ()) if child not in found]
        found.update(dict.fromkeys(fresh))
        pending.extend(fresh)
    return list(found)


def _parents() -> dict[int, int]:
    # `process_iter` leaves out what ends while it looks.
    return {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}


def _seconds(pid: int) -> float:
    """Of a process and of those children that it has waited for; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
