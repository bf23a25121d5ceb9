"""Whether the load generator was what limited the figures, by what it said of itself."""

from __future__ import annotations

from collections import defaultdict

from task_lab.check.evidence import Evidence
from task_lab.check.verdict import Check, Verdict, passed, some
from task_lab.load.calibration import judge_cpu_share

_NAME = "generator_not_the_limit"


def check_generator_not_the_limit(evidence: Evidence) -> Check:
    """The load generator was not what limited the figures; it said something of every phase.

    What was concluded while the run went on stands; the CPU share is judged again from what is
    kept. A generator that is silent about a phase proves nothing about it.
    """
    problems = list(dict.fromkeys([*evidence.generator_problems, *_busy(evidence)]))
    if problems:
        return Check(_NAME, Verdict.INVALID, "; ".join(problems), [], problems)
    silent = [] if evidence.generator is None else _silent(evidence)
    if silent:
        detail = f"nothing is known of the generator in {some(silent)}"
        return Check(_NAME, Verdict.UNKNOWN, detail, [], silent)
    return passed(_NAME, "the generator's CPU share and loop lag were in bounds")


def _silent(evidence: Evidence) -> list[str]:
    known = evidence.generator or {}
    return [str(name) for name in evidence.history["phase"].unique() if name not in known]


def _busy(evidence: Evidence) -> list[str]:
    """Rounds of a point are pooled, a paced load stands alone, as while the run went on."""
    known = evidence.generator or {}
    points = defaultdict(list)
    for phase in evidence.phases():
        if phase.name in known and (phase.kind == "round" or phase.offered_per_s):
            point = f"{phase.workload} with {phase.workers} workers"
            said = known[phase.name]
            name = phase.name if phase.offered_per_s else point
            points[name].append((said["cpu_share"], said["duration_s"]))
    return [reason for point, of_it in points.items() for reason in judge_cpu_share(point, of_it)]
