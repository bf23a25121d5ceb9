"""A million waiting tasks: whether the memory of worker and API stays as it was before them."""

from __future__ import annotations

import time

import psutil

from task_lab.bench.bench import Bench
from task_lab.bench.ledger import Range
from task_lab.bench.measurements import PromisedLess
from task_lab.bench.rows import Group
from task_lab.bench.sitting import Sitting

_TASKS = 1_000_000
# Before: the same work as during and beside the backlog, so that what is compared is warm.
_WARMUP_TASKS = 60_000
_DRAIN_S = 6.0
_LOOK_EVERY_S = 0.1
_WATCHED = ("worker", "api")


def measure_backlog(bench: Bench) -> None:
    """Memory of both before the backlog, and the most of it while the worker works on it."""
    tasks = bench.plan.tasks(_TASKS)
    with bench.sitting("backlog") as sitting:
        sitting.drain(bench.plan.tasks(_WARMUP_TASKS))
        for name, memory_mb in _memory_mb(sitting).items():
            bench.measured.add(Group.BACKLOG, f"backlog_{name}_before_mb", memory_mb)
        filled = sitting.fill(tasks)
        begin_finished = _finished(sitting)
        began_at = sitting.release()
        for name, memory_mb in _most_memory_mb(sitting, bench.plan.seconds(_DRAIN_S)).items():
            bench.measured.add(Group.BACKLOG, f"backlog_{name}_beside_mb", memory_mb)
        duration_s = time.time() - began_at
        finished = _check(sitting, filled) - begin_finished
        bench.measured.add(Group.BACKLOG, "backlog_drain_per_s", finished / duration_s)
        bench.measured.checked(Group.BACKLOG, "worked off beside the backlog", finished)


def _memory_mb(sitting: Sitting) -> dict[str, float]:
    """Resident memory of the first worker and the first API, in millions of bytes."""
    pids = sitting.pids()
    return {name: psutil.Process(pids[name][0]).memory_info().rss / 1e6 for name in _WATCHED}


def _most_memory_mb(sitting: Sitting, seconds: float) -> dict[str, float]:
    most = _memory_mb(sitting)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        time.sleep(_LOOK_EVERY_S)
        most = {name: max(most[name], mb) for name, mb in _memory_mb(sitting).items()}
    return most


def _finished(sitting: Sitting) -> int:
    return sitting.ledger.by_state().get("SUCCEEDED", 0)


def _check(sitting: Sitting, filled: Range) -> int:
    """How many tasks have succeeded. Raises PromisedLess where some did otherwise."""
    states = sitting.ledger.by_state()
    wrong = {state: n for state, n in states.items() if state in ("FAILED", "CANCELLED")}
    if wrong or sum(states.values()) < filled.tasks or not states.get("SUCCEEDED"):
        raise PromisedLess(f"{filled.tasks:,} tasks were accepted beside others; now {states}")
    return states["SUCCEEDED"]
