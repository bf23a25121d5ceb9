"""What every measurement is made of: a load offered, waits with deadlines, events around a phase.

Rates are not taken here: the sender's and the ledger's own timestamps give them later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from task_lab.collect.database import Ledger
from task_lab.history import key_prefix
from task_lab.load.mix import mix_of
from task_lab.load.processes import Generator
from task_lab.load.wire import Load, SenderReport
from task_lab.runtime.base import Endpoints, Runtime
from task_lab.spec import Phase, Spec, Workload
from task_lab.store import RunFolder

_POLL_S = 0.05
# Drained is believed when two looks in a row agree; a task between two states shows in the second.
_LOOKS = 2
_DEADLINE_S = 60.0
# Far below what the slowest workload here reaches, so that only a stuck phase meets its deadline.
_SLOWEST_PER_S = 25.0


@dataclass
class Bench:
    """What a measurement works with, and what the generator has said so far.

    stub_per_s: what the generator reaches against a stub; None where it was not calibrated.
    """

    spec: Spec
    folder: RunFolder
    runtime: Runtime
    endpoints: Endpoints
    ledger: Ledger
    generator: Generator
    stub_per_s: float | None = None
    reports: dict[str, SenderReport] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)

    def plan(self, *phases: Phase) -> None:
        """Announce phases that are going to be run: a run that lacks one of them is not whole."""
        self.phases += phases
        documents = [phase.model_dump(mode="json") for phase in phases]
        self.folder.append_event("plan", phases=documents)

    def scale(self, workers: int) -> None:
        """Run exactly so many workers."""
        replicas = self.runtime.scale(workers)
        names = [replica.name for replica in replicas]
        self.folder.append_event("scaled", workers=workers, replicas=names)

    def offer(
        self,
        phase: Phase,
        workload: Workload,
        *,
        in_flight: int,
        batch_size: int,
        schedule_s: list[float] | None = None,
    ) -> SenderReport:
        """Offer a phase's load until all is answered; what the generator says about it is kept."""
        load = Load(
            phase=phase.name,
            api_url=self.endpoints.api_url,
            bodies=[part.submission_text() for part in workload.parts],
            mix=mix_of(workload, phase, self.spec.seed),
            keys=key_prefix(phase.name) if self.spec.keyed else None,
            tasks=phase.tasks,
            in_flight=in_flight,
            batch_size=batch_size,
            schedule_s=schedule_s,
            history=str(self.folder / "history.jsonl"),
            deadline_s=deadline_s(phase.tasks) + (schedule_s[-1] if schedule_s else 0.0),
        )
        report = self.reports[phase.name] = self.generator.offer(load)
        return report

    def started(self, phase: Phase) -> None:
        """Say that a phase begins."""
        self.folder.append_event("phase_started", phase=phase.name, **_about(phase))

    def ended(
        self, phase: Phase, report: SenderReport, *, is_drained: bool, **more: object
    ) -> None:
        """Say how a phase ended."""
        self.folder.append_event(
            "phase_ended",
            phase=phase.name,
            **_about(phase),
            accepted=report.accepted,
            rejected=report.rejected,
            unknown=report.unknown,
            submit_per_s=report.submit_per_s,
            drained=is_drained,
            **more,
        )


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


def wait_settled(ledger: Ledger, timeout_s: float = _DEADLINE_S) -> bool:
    """True once the platform has nothing left to do; False when time is up."""
    deadline = time.monotonic() + timeout_s
    while ledger.unfinished():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def deadline_s(tasks: int) -> float:
    """Seconds after which a phase of so many tasks is stuck."""
    return _DEADLINE_S + tasks / _SLOWEST_PER_S


def _about(phase: Phase) -> dict[str, Any]:
    return phase.model_dump(exclude={"name"})
