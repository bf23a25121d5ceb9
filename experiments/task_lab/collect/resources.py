"""What each part of the stack and the machine use during a run, twice a second: resources.jsonl.

Counters are kept as the kernel has them, so that rates, gaps and restarts are the reader's to
judge. Memory is resident memory, split into private pages and shared ones: the proportional share
(PSS) would take a walk through the page tables of every process, under the lock of those that are
being measured. Each sample also says what the sampling itself has cost.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil

from task_lab.collect import proc
from task_lab.collect.accounts import Account, Accounts, Legacies, accounts_of
from task_lab.errors import LabError
from task_lab.runtime.base import Runtime

FILE = "resources.jsonl"
SAMPLE_EVERY_S = 0.5
# What is dear to look for: new processes of a known group, and context switches. No CPU time is
# lost by that: a process that came and went in between is in its parent's account.
_SCAN_EVERY_S = 2.0
# Asking an engine for its containers takes long: it may take so much of the time, and so much
# while a process that is known has gone.
_ASKING_SHARE, _URGENT_SHARE = 0.02, 0.1
_STOP_WITHIN_S = 30.0

Groups = Mapping[str, Sequence[int]]


def sample_resources(folder: Path, runtime: Runtime, generator: Sequence[int]) -> ResourceSampler:
    """Sample the runtime's parts, the generator and this process into the run's folder until
    stopped. generator: its process ids."""
    own = {"generator": list(generator), "lab": [os.getpid()]}
    return ResourceSampler(folder / FILE, lambda: {**runtime.process_groups(), **own})


class ResourceSampler:
    """Appends samples to a file, from a thread of its own, until `stop`.

    groups: the process ids at the root of each part, asked again and again; see `proc.members_of`.
    """

    def __init__(
        self, path: Path, groups: Callable[[], Groups], every_s: float = SAMPLE_EVERY_S
    ) -> None:
        self._path = path
        self._every_s = every_s
        self._look = _Look(groups)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lab-resources", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after a last sample. Raises what ended the sampling early, once; idempotent."""
        self._stop.set()
        self._thread.join(_STOP_WITHIN_S)
        error, self._error = self._error, None
        if error:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with self._path.open("ab") as file:
                due_at = time.monotonic()
                is_last = False
                while True:
                    line = msgspec.json.encode(self._sample())
                    file.write(line + b"\n")
                    file.flush()
                    if is_last:
                        return
                    # Beats that were missed are not made up for.
                    due_at = max(due_at + self._every_s, time.monotonic())
                    is_last = self._stop.wait(due_at - time.monotonic())
        except BaseException as error:
            self._error = error

    def _sample(self) -> dict[str, Any]:
        at, monotonic_s = time.time(), time.monotonic()
        sample = {
            "at": at,
            "monotonic_s": monotonic_s,
            "every_s": self._every_s,
            "machine": machine_use(),
            "groups": self._look.groups(),
        }
        sample["took_s"] = time.monotonic() - monotonic_s
        sample["cost_s"] = time.thread_time()
        return sample


class _Look:
    """Which processes belong to which group now, without looking everywhere each time."""

    def __init__(self, ask: Callable[[], Groups]) -> None:
        self._ask = ask
        self._roots: dict[str, list[int]] = {}
        self._members: dict[str, list[int]] = {}
        self._is_stale = False
        self._asked_at = self._scanned_at = -float("inf")
        self._ask_takes_s = float("inf")
        self._legacies = Legacies()

    def groups(self) -> dict[str, dict[str, Any]]:
        """The use of each group that has a process."""
        has_scanned = self._refresh()
        accounts: dict[str, dict[int, Account]] = {}
        uses = {}
        for group, pids in self._members.items():
            if pids:
                accounts[group] = accounts_of(pids)
                uses[group] = group_use(accounts[group], with_switches=has_scanned)
        self._legacies.note(accounts)
        self._is_stale = None in uses.values()
        return {
            group: {"roots": self._roots[group], **self._own(group, use)}
            for group, use in uses.items()
            if use
        }

    def _own(self, group: str, use: dict[str, Any]) -> dict[str, Any]:
        """Without what others' processes have left it."""
        legacy = self._legacies.of(group)
        return {
            **use,
            "cpu_s": round(use["cpu_s"] - legacy.cpu_s, 2),
            "read_bytes": use["read_bytes"] and use["read_bytes"] - legacy.read_bytes,
            "written_bytes": use["written_bytes"] and use["written_bytes"] - legacy.written_bytes,
        }

    def _refresh(self) -> bool:
        """Bring the members up to date; True where all processes were looked through for that."""
        now = time.monotonic()
        roots = self._roots
        share = _URGENT_SHARE if self._is_stale else _ASKING_SHARE
        if now - self._asked_at >= self._ask_takes_s / share:
            # Without an answer those of before are looked at.
            with contextlib.suppress(LabError):
                roots = {group: list(pids) for group, pids in self._ask().items()}
            self._asked_at = time.monotonic()
            self._ask_takes_s = min(self._ask_takes_s, self._asked_at - now)
        if roots == self._roots and now - self._scanned_at < _SCAN_EVERY_S:
            return False
        self._roots = roots
        self._members = proc.members_of(roots, proc.all_parents())
        self._scanned_at = now
        return True


def group_use(accounts: Accounts, *, with_switches: bool = True) -> dict[str, Any] | None:
    """What these processes use together; None when all are gone.

    cpu_s and bytes: with those of their children that have ended. private_bytes: the sum;
    shared_bytes: the largest, as the shared pages of one part are largely the same; rss_bytes: the
    sum, which counts those many times. switches: of main threads. None where the kernel does not
    tell, and for switches that were not asked for.
    """
    living = [pid for pid, account in accounts.items() if not account.stat.is_zombie]
    if not living:
        return None
    # One may end between two reads: it has no memory and no descriptors any more.
    memory = [found for pid in living if (found := proc.read_memory(pid))]
    transfers = [account.transfer for account in accounts.values()]
    switches = [proc.read_switches(pid) for pid in living] if with_switches else [None]
    return {
        "processes": len(living),
        "cpu_s": round(sum(account.stat.cpu_s for account in accounts.values()), 2),
        "rss_bytes": sum(one.rss_bytes for one in memory),
        "private_bytes": sum(one.rss_bytes - one.shared_bytes for one in memory),
        "shared_bytes": max((one.shared_bytes for one in memory), default=0),
        "fds": _sum([proc.count_descriptors(pid) for pid in living]),
        "threads": sum(accounts[pid].stat.threads for pid in living),
        "read_bytes": _sum([one and one.read_bytes for one in transfers]),
        "written_bytes": _sum([one and one.written_bytes for one in transfers]),
        "voluntary_switches": _sum([one and one.voluntary for one in switches]),
        "involuntary_switches": _sum([one and one.involuntary for one in switches]),
    }


def machine_use() -> dict[str, Any]:
    """Counters and memory of the whole machine; None where the kernel does not tell.

    cpu: seconds since the boot, a list with one value a core each.
    """
    cores = psutil.cpu_times(percpu=True)
    disks = psutil.disk_io_counters()
    loopback = psutil.net_io_counters(pernic=True).get("lo")
    return {
        "cpu": {
            "busy_s": [_busy_s(core) for core in cores],
            **{
                f"{kind}_s": [getattr(core, kind, None) for core in cores]
                for kind in ("idle", "iowait", "steal")
            },
        },
        "memory_available_bytes": psutil.virtual_memory().available,
        "swap_used_bytes": psutil.swap_memory().used,
        "disk_read_bytes": disks and disks.read_bytes,
        "disk_written_bytes": disks and disks.write_bytes,
        "loopback_bytes": loopback and loopback.bytes_recv,
    }


def _busy_s(core: Any) -> float:
    """Seconds in which a core worked, for whomever; guests are in `user` already."""
    worked = ("user", "nice", "system", "irq", "softirq")
    return round(sum(getattr(core, kind, 0.0) for kind in worked), 2)


def _sum(values: Sequence[int | None]) -> int | None:
    """The sum, None if one of them is not known: a part of it would pass for all."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
