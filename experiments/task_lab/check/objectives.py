"""Objectives: limits that an experiment sets to its own figures, and whether they were kept.

A name that no figure has is a usage error, before anything runs; a figure that was not measured is
UNKNOWN, never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from task_lab.check.verdict import Verdict
from task_lab.spec.records import Limit


def judge_objectives(
    objectives: Mapping[str, Limit], points: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each objective at each point: `name`, `where`, `min`, `max`, `observed`, `verdict`.

    points: of summary.json. A run without any has kept to nothing.
    """
    if not points:
        return [
            judge_one(name, limit, None, where="no point") for name, limit in objectives.items()
        ]
    return [
        judge_one(name, limit, figure_of(point, name), where=where_of(point))
        for name, limit in objectives.items()
        for point in points
    ]


def judge_one(name: str, limit: Limit, observed: float | None, *, where: str) -> dict[str, Any]:
    """One figure held against its limit."""
    verdict = Verdict.PASS
    if observed is None or not math.isfinite(observed):
        observed, verdict = None, Verdict.UNKNOWN
    elif (limit.min is not None and observed < limit.min) or (
        limit.max is not None and observed > limit.max
    ):
        verdict = Verdict.FAIL
    return {
        "name": name,
        "where": where,
        "min": limit.min,
        "max": limit.max,
        "observed": observed,
        "verdict": verdict.value,
    }


def told_limit(objective: Mapping[str, Any]) -> str:
    """`at least 0.99`, `at most 0.1`, or both."""
    bounds = [("at least", objective["min"]), ("at most", objective["max"])]
    return " and ".join(f"{how} {bound:g}" for how, bound in bounds if bound is not None)


def figure_of(point: Mapping[str, Any], name: str) -> float | None:
    """A point's figure by its objective's name (`queue_wait_p95_s`); None where it has none."""
    for latency in ("queue_wait", "end_to_end", "from_send"):
        for q in ("p50", "p95", "p99"):
            if name == f"{latency}_{q}_s":
                found: float | None = (point.get(f"{latency}_s") or {}).get(q)
                return found
    value: float | None = point.get(name)
    return value


def where_of(point: Mapping[str, Any]) -> str:
    """A point in words: `sum, 3 workers`, with its offered rate where it has one."""
    workers = f"{point['workers']} worker{'' if point['workers'] == 1 else 's'}"
    rate = point.get("offered_per_s")
    return f"{point['workload']}, {workers}" + (f", {rate:g}/s offered" if rate else "")
