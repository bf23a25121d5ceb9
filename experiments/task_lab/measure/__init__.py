"""Making the load happen: each kind of experiment in a module of its own.

Nothing is computed here; what was done, and when, goes to the run's files.
"""

from __future__ import annotations

from task_lab.errors import LabError
from task_lab.measure.bench import Bench, deadline_s
from task_lab.measure.disturbed import measure_disturbed
from task_lab.measure.search import measure_saturation
from task_lab.measure.steady import measure_steady
from task_lab.measure.sweep import measure_sweep
from task_lab.spec import FaultsSpec, RetriesSpec, SaturationSpec, Spec, SweepSpec
from task_lab.spec.search import MOST_PROBES


def measure(bench: Bench) -> None:
    """Offer the experiment's load, point by point, and wait after each until it is finished."""
    match bench.spec:
        case SweepSpec():
            measure_sweep(bench, bench.spec)
        case RetriesSpec():
            measure_steady(bench, bench.spec)
        case FaultsSpec():
            measure_disturbed(bench, bench.spec)
        case SaturationSpec():
            measure_saturation(bench, bench.spec)
        case _:
            raise LabError(f"nobody knows how to measure {bench.spec.kind!r}")


def time_limit_s(spec: Spec) -> float:
    """Seconds after which the measurement of this experiment is stuck."""
    known_s = sum(deadline_s(phase.tasks) + (phase.duration_s or 0) for phase in spec.phases())
    if isinstance(spec, SaturationSpec):
        paced_s = deadline_s(round(spec.start_per_s * spec.longest_step_s)) + spec.longest_step_s
        known_s += paced_s * (len(spec.fractions) + MOST_PROBES) * len(spec.points())
    return known_s
