"""One paced load, watched: an open loop that goes by its schedule whatever the platform does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from task_lab.load.schedule import schedule
from task_lab.measure.bench import Bench, deadline_s, wait_drained, wait_settled
from task_lab.measure.sweep import run_round
from task_lab.spec import Phase, SteadySpec, Workload
from task_lab.spec.arrivals import Arrivals
from task_lab.store import TRACE

# Enough places that a platform which answers within a second or two never makes the loop wait.
OPEN_IN_FLIGHT = 1_000

Disturb = Callable[[Bench, Phase], AbstractContextManager[object]]


def measure_steady(bench: Bench, spec: SteadySpec, disturb: Disturb | None = None) -> None:
    """Measure every point: a warm-up, then the load.

    disturb: entered as the load begins, and left, with all that it did healed, once everything was
    sent and answered. A load that does not drain ends the sweep.
    """
    bench.plan(*spec.phases())
    for workload, workers in spec.points():
        bench.scale(workers)
        for phase in spec.phases_of(workload, workers):
            if phase.kind == "warmup":
                is_drained = run_round(bench, phase, workload)
            else:
                is_drained = run_paced(bench, phase, workload, spec.arrivals, disturb)
            if not is_drained:
                return


def run_paced(
    bench: Bench,
    phase: Phase,
    workload: Workload,
    arrivals: Arrivals,
    disturb: Disturb | None = None,
) -> bool:
    """Offer a load on its schedule and wait until its tasks are finished; False when time is up.

    After a disturbance the wait is for the whole platform: what was accepted without an answer has
    to come to its end as well.
    """
    assert phase.offered_per_s is not None
    at_s = schedule(_as_kept(bench, arrivals), phase.tasks, phase.offered_per_s, bench.spec.seed)
    batch_size = workload.batch_size
    bench.started(phase)
    with disturb(bench, phase) if disturb else nullcontext():
        report = bench.offer(
            phase,
            workload,
            in_flight=OPEN_IN_FLIGHT,
            batch_size=batch_size,
            schedule_s=at_s[::batch_size],
        )
    bench.folder.append_event("offered", phase=phase.name)
    is_drained = wait_drained(bench.ledger, report, deadline_s(phase.tasks))
    if disturb:
        is_drained = is_drained and wait_settled(bench.ledger)
    bench.ended(phase, report, is_drained=is_drained)
    return is_drained


def _as_kept(bench: Bench, arrivals: Arrivals) -> Arrivals:
    """The arrivals with the run's own copy of a trace: the file they came from may change."""
    if arrivals.trace is None:
        return arrivals
    return arrivals.model_copy(update={"trace": str(bench.folder / TRACE)})
