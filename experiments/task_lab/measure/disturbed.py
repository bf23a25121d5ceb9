"""A paced load while faults strike: proven, healed, and only then waited for and checked."""

from __future__ import annotations

from contextlib import AbstractContextManager

from task_lab.faults.inject import injected
from task_lab.faults.planned import read_plan
from task_lab.measure.bench import Bench
from task_lab.measure.steady import measure_steady
from task_lab.spec import FaultsSpec, Phase


def measure_disturbed(bench: Bench, spec: FaultsSpec) -> None:
    """Offer the load with the plan's faults beside it. Raises FaultsFailed."""
    plan = read_plan(spec.faults)

    def disturb(bench: Bench, phase: Phase) -> AbstractContextManager[None]:
        assert phase.duration_s is not None
        return injected(bench.runtime, plan.strikes(phase.duration_s), bench.folder.append_event)

    measure_steady(bench, spec, disturb)
