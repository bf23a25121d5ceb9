"""Where worker and API spend their time: flame graphs, and the functions that cost most.

Apart from all other groups: whoever is looked at 250 times a second is slower for it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from task_lab.bench.bench import Bench
from task_lab.bench.flames import largest_costs, record
from task_lab.bench.http_load import single_posts_per_s
from task_lab.bench.measurements import Cost
from task_lab.bench.plan import SUM
from task_lab.bench.rows import Group

FOLDER = "flames"
_LOOK_S = 2.0
# More than a worker finishes while it is looked at twice.
_TASKS = 160_000
# The load goes on for longer than the looking, whose start takes a moment each time.
_LOAD_S = 12.0


def measure_flames(bench: Bench) -> None:
    """A worker that empties a queue, then an API that accepts single submissions."""
    (bench.folder / FOLDER).mkdir()
    tasks = bench.plan.tasks(_TASKS)
    with bench.sitting("flames") as sitting:
        filled = sitting.fill(tasks)
        worker, api = sitting.pids()["worker"][0], sitting.pids()["api"][0]
        sitting.release()
        _look(bench, "worker", worker)
        sitting.ledger.wait_finished(filled, SUM)
        sitting.runtime.scale(0)
        _beside(
            lambda: single_posts_per_s(
                sitting.endpoints.api_url,
                seconds=bench.plan.seconds(_LOAD_S, least=8),
                scratch=bench.scratch,
            ),
            lambda: _look(bench, "api", api),
        )
        sitting.runtime.scale(1)
        everything = sitting.ledger.everything()
        sitting.ledger.wait_finished(everything, SUM)
        bench.measured.checked(Group.FLAMES, "tasks under the profiler", everything.tasks)


def _look(bench: Bench, process: str, pid: int) -> None:
    seconds = bench.plan.seconds(_LOOK_S)
    record(pid, bench.folder / FOLDER / f"{process}.svg", seconds=seconds)
    for cost in largest_costs(pid, seconds=seconds):
        bench.measured.append(
            Cost(process=process, function=cost.function, place=cost.place, share=cost.share)
        )


def _beside(load: Callable[[], object], look: Callable[[], None]) -> None:
    """Look while the load goes on; raises what either raises."""
    with ThreadPoolExecutor(1) as thread:
        loaded = thread.submit(load)
        try:
            look()
        finally:
            loaded.result()
