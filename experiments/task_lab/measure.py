"""One point of the sweep: scale, warm up, offer the rounds, drain a pre-filled queue.

Rates are not taken here: the sender's and the ledger's own timestamps give them later. This module
only makes the load happen, in order, each phase against a deadline.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from task_lab.collect.database import Ledger
from task_lab.errors import Unknown
from task_lab.load.calibration import judge_closed_loop
from task_lab.load.processes import Generator
from task_lab.load.wire import Load, SenderReport
from task_lab.runtime.base import Runtime
from task_lab.spec import Phase, Spec, Workload, phases_of
from task_lab.stats import percentile
from task_lab.store import RunFolder

_POLL_S = 0.05
# Drained is believed when two looks in a row agree; a task between two states shows in the second.
_LOOKS = 2
_DEADLINE_S = 60.0
# Far below what the slowest workload here reaches, so that only a stuck phase meets its deadline.
_SLOWEST_PER_S = 25.0
_BATCHES_IN_FLIGHT = 4


class NotAnnounced(Unknown):
    """The messages of a pre-filled queue did not all reach the broker in time."""

    def __init__(self, phase: str, outbox_rows: int) -> None:
        super().__init__(f"{phase}: {outbox_rows} outbox rows were still unsent at the deadline")
        self.phase, self.outbox_rows = phase, outbox_rows


@dataclass
class Bench:
    """What a measurement works with, and what the generator has said so far."""

    spec: Spec
    folder: RunFolder
    runtime: Runtime
    api_url: str
    ledger: Ledger
    generator: Generator
    reports: dict[str, SenderReport] = field(default_factory=dict)


def measure_point(bench: Bench, workload: Workload, workers: int) -> bool:
    """Run every phase of one point; False as soon as one does not drain in time."""
    replicas = bench.runtime.scale(workers)
    names = [replica.name for replica in replicas]
    bench.folder.append_event("scaled", workers=workers, replicas=names)
    for phase in phases_of(workload, workers, bench.spec.warmup_tasks):
        run_phase = run_drain if phase.kind == "drain" else run_round
        if not run_phase(bench, phase, workload):
            return False
    return True


def run_round(bench: Bench, phase: Phase, workload: Workload) -> bool:
    """Offer single submissions in a closed loop and wait until they are finished."""
    _started(bench, phase)
    report = _offer(bench, phase, workload, batch_size=1, in_flight=bench.spec.in_flight)
    is_drained = wait_drained(bench.ledger, report, deadline_s(phase.tasks))
    _ended(bench, phase, report, is_drained)
    return is_drained


def run_drain(bench: Bench, phase: Phase, workload: Workload) -> bool:
    """Fill the queue while the workers stand still, let them go, wait until they are finished.

    Standing still rather than absent: all start at the same instant, warm.
    """
    _started(bench, phase)
    bench.runtime.pause_workers()
    try:
        report = _offer(
            bench,
            phase,
            workload,
            batch_size=min(bench.spec.batch_size, phase.tasks),
            in_flight=_BATCHES_IN_FLIGHT,
        )
        _wait_announced(bench.ledger, phase)
    finally:
        bench.runtime.resume_workers()
    resumed = bench.folder.append_event("resumed", phase=phase.name)
    is_drained = wait_drained(bench.ledger, report, deadline_s(phase.tasks))
    _ended(bench, phase, report, is_drained, resumed_at=resumed["at"])
    return is_drained


def wait_drained(ledger: Ledger, report: SenderReport, timeout_s: float) -> bool:
    """True once all accepted tasks are terminal, twice in a row; False when time is up."""
    if report.first_id is None or report.last_id is None:
        return True
    deadline, agreeing = time.monotonic() + timeout_s, 0
    while agreeing < _LOOKS:
        progress = ledger.progress(report.first_id, report.last_id)
        is_done = progress.terminal == progress.total and progress.terminal >= report.accepted
        agreeing = agreeing + 1 if is_done else 0
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def wait_settled(ledger: Ledger) -> bool:
    """True once the platform has nothing left to do; False when time is up."""
    deadline = time.monotonic() + _DEADLINE_S
    while ledger.unfinished():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def deadline_s(tasks: int) -> float:
    """Seconds after which a phase of so many tasks is stuck."""
    return _DEADLINE_S + tasks / _SLOWEST_PER_S


def record_load(bench: Bench, calibration: dict[str, Any] | None) -> None:
    """Write load.json: the generator's report and why it may have been the limit, if so."""
    reasons = [
        reason
        for workload, workers in bench.spec.points()
        for reason in judge_closed_loop(
            f"{workload.name} with {workers} workers",
            [
                bench.reports[phase.name]
                for phase in phases_of(workload, workers, bench.spec.warmup_tasks)
                if phase.kind == "round" and phase.name in bench.reports
            ],
        )
    ]
    phases = {name: _as_json(report) for name, report in bench.reports.items()}
    bench.folder.write_json(
        "load.json",
        {
            "calibration": calibration,
            "phases": phases,
            "verdict": "INVALID" if reasons else "PASS",
            "reasons": reasons,
        },
    )


def _offer(
    bench: Bench, phase: Phase, workload: Workload, *, batch_size: int, in_flight: int
) -> SenderReport:
    load = Load(
        phase=phase.name,
        api_url=bench.api_url,
        task=task_json(workload),
        tasks=phase.tasks,
        in_flight=in_flight,
        batch_size=batch_size,
        history=str(bench.folder / "history.jsonl"),
        deadline_s=deadline_s(phase.tasks),
    )
    report = bench.reports[phase.name] = bench.generator.offer(load)
    return report


def task_json(workload: Workload) -> str:
    """The body of one submission of the workload."""
    return json.dumps({"task_type": workload.task_type, "payload": workload.payload})


def _wait_announced(ledger: Ledger, phase: Phase) -> None:
    deadline = time.monotonic() + deadline_s(phase.tasks)
    while rows := ledger.outbox_rows():
        if time.monotonic() > deadline:
            raise NotAnnounced(phase.name, rows)
        time.sleep(_POLL_S)


def _started(bench: Bench, phase: Phase) -> None:
    bench.folder.append_event("phase_started", phase=phase.name, **_about(phase))


def _ended(
    bench: Bench,
    phase: Phase,
    report: SenderReport,
    is_drained: bool,
    *,
    resumed_at: float | None = None,
) -> None:
    bench.folder.append_event(
        "phase_ended",
        phase=phase.name,
        **_about(phase),
        accepted=report.accepted,
        rejected=report.rejected,
        unknown=report.unknown,
        submit_per_s=report.submit_per_s,
        drained=is_drained,
        resumed_at=resumed_at,
    )


def _about(phase: Phase) -> dict[str, Any]:
    return phase.model_dump(exclude={"name"})


def _as_json(report: SenderReport) -> dict[str, Any]:
    lag_s = percentile(report.loop_lag_s, 0.99) if report.loop_lag_s else None
    return {
        "cpu_share": report.cpu_share,
        "loop_lag_p99_ms": None if lag_s is None else lag_s * 1e3,
        "submitted": report.submitted,
        "accepted": report.accepted,
        "rejected": report.rejected,
        "unknown": report.unknown,
        "problems": report.problems,
        "duration_s": report.duration_s,
        "submit_per_s": report.submit_per_s,
    }
