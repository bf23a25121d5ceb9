"""A sweep of worker counts: scale, warm up, offer the rounds, drain a pre-filled queue."""

from __future__ import annotations

import time

from task_lab.collect.database import Ledger
from task_lab.errors import Unknown
from task_lab.measure.bench import Bench, deadline_s, wait_drained
from task_lab.spec import Phase, SweepSpec, Workload

_POLL_S = 0.05
_BATCHES_IN_FLIGHT = 4


class NotAnnounced(Unknown):
    """The messages of a pre-filled queue did not all reach the broker in time."""

    def __init__(self, phase: str, outbox_rows: int) -> None:
        super().__init__(f"{phase}: {outbox_rows} outbox rows were still unsent at the deadline")
        self.phase, self.outbox_rows = phase, outbox_rows


def measure_sweep(bench: Bench, spec: SweepSpec) -> None:
    """Measure every point.

    A point that does not drain ends the sweep: what follows would measure its leftovers.
    """
    bench.plan(*spec.phases())
    for workload, workers in spec.points():
        bench.scale(workers)
        for phase in spec.phases_of(workload, workers):
            if phase.kind == "drain":
                is_drained = run_drain(bench, phase, workload, spec.batch_size)
            else:
                is_drained = run_round(bench, phase, workload)
            if not is_drained:
                return


def run_round(bench: Bench, phase: Phase, workload: Workload) -> bool:
    """Offer a closed loop and wait until its tasks are finished; False when time is up."""
    bench.started(phase)
    report = bench.offer(
        phase, workload, in_flight=bench.spec.in_flight, batch_size=workload.batch_size
    )
    is_drained = wait_drained(bench.ledger, report, deadline_s(phase.tasks))
    bench.ended(phase, report, is_drained=is_drained)
    return is_drained


def run_drain(bench: Bench, phase: Phase, workload: Workload, batch_size: int) -> bool:
    """Fill the queue while the workers stand still, let them go, wait until they are finished.

    Standing still rather than absent: all start at the same instant, warm.
    """
    bench.started(phase)
    bench.runtime.pause_workers()
    try:
        report = bench.offer(
            phase,
            workload,
            batch_size=min(batch_size, phase.tasks),
            in_flight=_BATCHES_IN_FLIGHT,
        )
        _wait_announced(bench.ledger, phase)
    finally:
        bench.runtime.resume_workers()
    resumed = bench.folder.append_event("resumed", phase=phase.name)
    is_drained = wait_drained(bench.ledger, report, deadline_s(phase.tasks))
    bench.ended(phase, report, is_drained=is_drained, resumed_at=resumed["at"])
    return is_drained


def _wait_announced(ledger: Ledger, phase: Phase) -> None:
    deadline = time.monotonic() + deadline_s(phase.tasks)
    while rows := ledger.outbox_rows():
        if time.monotonic() > deadline:
            raise NotAnnounced(phase.name, rows)
        time.sleep(_POLL_S)
