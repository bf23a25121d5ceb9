"""The highest sustainable rate: probe for it, then climb a ladder of its fractions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from task_lab.check.objectives import figure_of, judge_one
from task_lab.check.verdict import Verdict
from task_lab.errors import Unknown
from task_lab.history import read_phase
from task_lab.load.calibration import MAX_SHARE_OF_STUB
from task_lab.measure.bench import Bench
from task_lab.measure.steady import run_paced
from task_lab.measure.sweep import run_round
from task_lab.report.paced import STEADY_SHARE, paced_point
from task_lab.report.records import Phase as MeasuredPhase
from task_lab.saturation.search import Bounds, Probe, bounds_of, next_rate, step_s
from task_lab.spec import Phase, SaturationSpec, Workload
from task_lab.spec.search import MOST_PROBES
from task_lab.stats import MIN_BEYOND

# A ninety-ninth percentile stands on so many tasks.
_TASKS_FOR_P99 = 100 * MIN_BEYOND
# Below this there is no platform worth a ladder.
_LEAST_PER_S = 1.0


class NothingSustained(Unknown):
    """No rate that was probed met every objective, down to the lowest."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        lowest = min(probe.per_s for probe in probes)
        super().__init__(f"no rate down to {lowest:.3g}/s met every objective")
        self.probes = list(probes)


def measure_saturation(bench: Bench, spec: SaturationSpec) -> None:
    """Measure every point: warm up, search, climb. A phase that does not drain ends the run."""
    for point in spec.points():
        workload, workers = point
        bench.scale(workers)
        (warmup,) = spec.phases_of(workload, workers)
        bench.plan(warmup)
        if not run_round(bench, warmup, workload):
            return
        found = spec.per_s or _search(bench, spec, point)
        if found is None or not _climb(bench, spec, point, found):
            return


def _search(bench: Bench, spec: SaturationSpec, point: tuple[Workload, int]) -> float | None:
    """The highest rate found to be sustained; None when a probe did not drain."""
    most_per_s = MAX_SHARE_OF_STUB * (bench.stub_per_s or float("inf"))
    probes: list[Probe] = []
    while len(probes) < MOST_PROBES:
        rate = next_rate(
            probes,
            start_per_s=spec.start_per_s,
            most_per_s=most_per_s,
            precision=spec.precision,
        )
        if rate is None or rate < _LEAST_PER_S:
            break
        phase = spec.paced(
            point, "probe", per_s=round(rate, 2), duration_s=spec.probe_s, number=len(probes) + 1
        )
        bench.plan(phase)
        if not run_paced(bench, phase, point[0], spec.arrivals):
            return None
        probes.append(_judge(bench, spec, phase))
    bounds = bounds_of(probes)
    if bounds.low is None:
        raise NothingSustained(probes)
    _say_found(bench, phase, bounds, probes)
    return bounds.low


def _say_found(bench: Bench, last: Phase, bounds: Bounds, probes: Sequence[Probe]) -> None:
    bench.folder.append_event(
        "searched",
        workload=last.workload,
        workers=last.workers,
        rate_per_s=bounds.low,
        failed_per_s=bounds.high,
        probes=len(probes),
    )


def _judge(bench: Bench, spec: SaturationSpec, phase: Phase) -> Probe:
    """Hold the probe's figures against every objective; what they were is an event."""
    figures = _figures(bench, phase)
    judged = [
        judge_one(name, limit, figure_of(figures, name), where=phase.name)
        for name, limit in spec.objectives.items()
    ]
    missed = [one["name"] for one in judged if one["verdict"] != Verdict.PASS]
    assert phase.offered_per_s is not None
    probe = Probe(phase.offered_per_s, not missed)
    bench.folder.append_event(
        "probed",
        phase=phase.name,
        per_s=probe.per_s,
        sustained=probe.is_sustained,
        missed=missed,
        figures={one["name"]: one["observed"] for one in judged},
    )
    return probe


def _figures(bench: Bench, phase: Phase) -> dict[str, Any]:
    report = bench.reports[phase.name]
    sent = pd.DataFrame(read_phase(bench.folder / "history.jsonl", phase.name))
    if report.first_id is None or report.last_id is None:
        return {}
    measured = MeasuredPhase(**phase.model_dump(), started_at=0.0, ended_at=0.0, resumed_at=None)
    return paced_point(measured, sent, bench.ledger.times(report.first_id, report.last_id))


def _climb(bench: Bench, spec: SaturationSpec, point: tuple[Workload, int], found: float) -> bool:
    """Offer every fraction of the rate in turn, each to a platform at rest."""
    steps = [
        spec.paced(
            point,
            "step",
            per_s=round(fraction * found, 2),
            duration_s=step_s(
                fraction * found,
                least_s=spec.step_s,
                most_s=spec.longest_step_s,
                tasks=_TASKS_FOR_P99 / STEADY_SHARE,
            ),
            number=number,
            fraction=fraction,
        )
        for number, fraction in enumerate(sorted(spec.fractions), 1)
    ]
    bench.plan(*steps)
    return all(run_paced(bench, step, point[0], spec.arrivals) for step in steps)
