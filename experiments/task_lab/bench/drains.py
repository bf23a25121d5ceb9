"""Drains of a full queue: bare loops, the platform with several workers, PgQueuer; side by side.

The systems take turns, cycle after cycle, so that a machine that gets slower meanwhile does so for
all of them.
"""

from __future__ import annotations

from task_lab.bench.bench import Bench
from task_lab.bench.drained import Drained
from task_lab.bench.floor_drain import drain_floor
from task_lab.bench.pgqueuer import drain_pgqueuer
from task_lab.bench.plan import SLEEP
from task_lab.bench.rows import Group
from task_lab.bench.sitting import WARMUP_TASKS, Sitting
from task_lab.errors import LabError

_SLEEP_TASKS = 6_000
_SLEEP_SETTINGS = {"TASK_PLATFORM_WORKER_CONCURRENCY": "50"}
_CLASSIC_SETTINGS = {"TASK_PLATFORM_QUEUE_TYPE": "classic"}


def measure_drains(bench: Bench) -> None:
    """The cycles of whichever of the groups `drain` and `peer` was asked for."""
    has_drain, has_peer = bench.plan.has(Group.DRAIN), bench.plan.has(Group.PEER)
    with bench.sitting("drain") as sitting:
        for cycle in range(1, bench.plan.cycles + 1):
            if has_drain:
                _floor(bench, sitting, cycle)
            sitting.scale(1)
            _platform(bench, sitting, Group.DRAIN if has_drain else Group.PEER, 1, cycle)
            if has_peer:
                has_peer = _peer(bench, sitting, cycle)
            if has_drain:
                for workers in (2, 3):
                    sitting.scale(workers)
                    _platform(bench, sitting, Group.DRAIN, workers, cycle)
    if has_drain:
        _classic(bench)


def measure_sleep(bench: Bench) -> None:
    """Drains of tasks that wait, by one, three and six workers in turn."""
    tasks = bench.plan.tasks(_SLEEP_TASKS)
    with bench.sitting("sleep", settings=_SLEEP_SETTINGS) as sitting:
        for cycle in range(1, bench.plan.sleep_cycles + 1):
            for workers in (1, 3, 6):
                sitting.scale(workers, warmup=SLEEP)
                drained = sitting.drain(tasks, SLEEP).drained
                _keep(bench, Group.SLEEP, f"sleep_{workers}w_per_s", drained, cycle)
                bench.measured.checked(Group.SLEEP, f"drain, {workers} workers", tasks)


def _platform(bench: Bench, sitting: Sitting, group: Group, workers: int, cycle: int) -> None:
    tasks = bench.plan.drain_tasks
    found = sitting.drain(tasks)
    _keep(bench, group, f"drain_{workers}w_per_s", found.drained, cycle)
    bench.measured.checked(group, f"drain, {workers} workers", tasks)
    if workers == 1 and group is Group.DRAIN:
        bench.keep_cpu(group, "cpu_drain_ms_per_task", found.cpu_s, tasks=tasks, cycle=cycle)


def _floor(bench: Bench, sitting: Sitting, cycle: int) -> None:
    drained = drain_floor(
        sitting.endpoints,
        bench.plan.drain_tasks,
        warmup_tasks=WARMUP_TASKS,
        finished=lambda: int(sitting.ledger.row("count_floor")["finished"]),
    )
    _keep(bench, Group.DRAIN, "drain_floor_per_s", drained, cycle)


def _peer(bench: Bench, sitting: Sitting, cycle: int) -> bool:
    """Whether PgQueuer drained its queue; where it cannot, the other comparisons go on without."""
    try:
        drained = drain_pgqueuer(
            sitting.endpoints.database_url, bench.plan.drain_tasks, scratch=bench.scratch
        )
    except LabError as error:
        bench.measured.failed(Group.PEER, error)
        return False
    _keep(bench, Group.PEER, "drain_pgqueuer_per_s", drained, cycle)
    return True


def _classic(bench: Bench) -> None:
    """The same drain where the broker keeps the tasks in a classic queue: a figure, no row."""
    with bench.sitting("classic", settings=_CLASSIC_SETTINGS) as sitting:
        for cycle in range(1, bench.plan.cycles + 1):
            tasks = bench.plan.drain_tasks
            drained = sitting.drain(tasks).drained
            _keep(bench, Group.DRAIN, "drain_1w_classic_per_s", drained, cycle)
            bench.measured.checked(Group.DRAIN, "drain of a classic queue", tasks)


def _keep(bench: Bench, group: Group, name: str, drained: Drained, cycle: int) -> None:
    bench.measured.add(group, name, drained.per_s, cycle=cycle)
