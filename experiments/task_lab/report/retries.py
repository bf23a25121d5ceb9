"""The figures of a load with failing tasks: foretold against observed, waits, rates, by part.

Pure. What is foretold comes from the seed of the mix (`check.foretold`); observed totals come from
the ledger, and Prometheus is counted from raw values. The warm-up is foretold and counted as well,
because the counters count it; rates and latencies are of the load alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from task_platform.domain.task import State

from task_lab.check.backoff import band_s, policy_of, witnessed_retries
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.foretold import RETRIED, deviations, foretold_parts, retries_of
from task_lab.report.points import clean, per_s
from task_lab.report.records import Phase

# A shorter stretch says nothing about a rate.
_LEAST_WINDOW_S = 1.0


def foretold_frame(evidence: Evidence) -> pd.DataFrame:
    """The ledger's rows of foretold tasks, with `part` (its name), `group` and `as_foretold`."""
    parts = foretold_parts(evidence)
    wrong = {one.task_id for one in deviations(evidence)}
    tasks = evidence.tasks[evidence.tasks["id"].isin(set(parts))]
    return tasks.assign(
        part=[parts[task_id].name for task_id in tasks["id"]],
        group=[parts[task_id].group or parts[task_id].name for task_id in tasks["id"]],
        as_foretold=~tasks["id"].isin(wrong),
    )


def expectation_records(evidence: Evidence) -> list[dict[str, Any]]:
    """Each total as foretold, as the ledger has it, and as Prometheus counted it (None: not read).

    The messages in `tasks.dlq` stand in the ledger's place: the broker was asked for them.
    """
    parts = foretold_parts(evidence).values()
    tasks, failures = evidence.tasks, evidence.failures
    counters = evidence.prometheus or {}
    succeeded, dead = _total(counters.get("processed")), _total(counters.get("failed"))
    retried = _total(evidence.retried)
    dead_parts = sum(part.ends == State.FAILED for part in parts)
    retries = None if failures is None else int((failures["outcome"] == RETRIED).sum())
    rows: list[tuple[str, int, int | None, int | None]] = [
        ("tasks", len(parts), len(tasks), _sum(succeeded, dead)),
        (
            "succeeded",
            len(parts) - dead_parts,
            int((tasks["state"] == State.SUCCEEDED).sum()),
            succeeded,
        ),
        ("dead letters", dead_parts, int((tasks["state"] == State.FAILED).sum()), dead),
        ("messages in tasks.dlq", dead_parts, len(evidence.dlq_ids), None),
        ("retries", sum(map(retries_of, parts)), retries, retried),
        (
            "attempts",
            sum(part.attempts for part in parts),
            int(tasks["attempts"].sum()),
            _sum(succeeded, dead, retried),
        ),
    ]
    names = ("name", "foretold", "ledger", "prometheus")
    return [dict(zip(names, row, strict=True)) for row in rows]


def attempt_records(evidence: Evidence) -> list[dict[str, int]]:
    """How many tasks take one attempt, two, …: `attempts`, `foretold`, `observed`."""
    foretold = Counter(part.attempts for part in foretold_parts(evidence).values())
    observed = Counter(evidence.tasks["attempts"].astype(int))
    return [
        {"attempts": number, "foretold": foretold[number], "observed": observed[number]}
        for number in range(1, max([*foretold, *observed], default=0) + 1)
    ]


def backoff_records(evidence: Evidence) -> list[dict[str, Any]]:
    """The waits after each attempt number: their bounds, their spread, how late retries began."""
    retries = witnessed_retries(evidence)
    if retries is None:
        return []
    policy = policy_of(evidence.spec.variables())
    found = []
    for number in sorted(set(retries["attempt"].tolist())):
        of_number = retries[retries["attempt"] == number]
        low, high = band_s(policy, number)
        waits, late = of_number["wait_s"], of_number["late_s"].dropna()
        found.append(
            {
                "attempt": number,
                "low_s": clean(low),
                "high_s": clean(high),
                "retries": len(of_number),
                "wait_s": _spread(waits, ("min", "p50", "max")),
                "outside": int((~waits.between(low - 1e-5, high + 1e-5)).sum()),
                "late_s": _spread(late, ("p50", "p95", "max")),
            }
        )
    return found


def part_records(evidence: Evidence, phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """Each part of the load: how its tasks had to end and did, and how long they took.

    to_end_s: from commit to the terminal state. backoff_s: the waits in it, shortest and longest.
    """
    loads = {phase.name for phase in phases if phase.is_paced}
    tasks = foretold_frame(evidence)
    tasks = tasks[tasks["phase"].isin(loads)]
    to_end_s = tasks["finished_at"] - tasks["created_at"]
    policy = policy_of(evidence.spec.variables())
    parts = [part for workload in evidence.spec.workloads for part in workload.parts]
    found = []
    for part in parts:
        own = tasks["part"] == part.name
        bands = [band_s(policy, number) for number in range(1, part.attempts)]
        found.append(
            {
                "part": part.name,
                "group": part.group,
                "tasks": int(own.sum()),
                "ends": part.ends,
                "attempts": part.attempts,
                "as_foretold": int((own & tasks["as_foretold"]).sum()),
                "backoff_s": [clean(sum(band[end] for band in bands)) for end in (0, 1)],
                "to_end_s": _spread(to_end_s[own].dropna(), ("p50", "p95", "max")),
            }
        )
    return found


def longest_backoff_s(evidence: Evidence) -> float:
    """The longest that a task of this mix waits for retries: only then is every kind under way."""
    policy = policy_of(evidence.spec.variables())
    return max(
        (
            sum(band_s(policy, number)[1] for number in range(1, part.attempts))
            for workload in evidence.spec.workloads
            for part in workload.parts
        ),
        default=0.0,
    )


def rate_records(evidence: Evidence, phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """Goodput, throughput and attempts per second of each load, once every retry is under way.

    Goodput counts tasks that succeeded and are as foretold; throughput every task that became
    terminal; attempts everything the workers ran. All in one stretch: from the longest back-off
    after the first submission to the last submission. None where that is under a second.
    """
    tasks = foretold_frame(evidence)
    good = tasks["as_foretold"] & (tasks["state"] == State.SUCCEEDED)
    failures = evidence.failures
    assert failures is not None
    retried_at = failures.loc[failures["outcome"] == RETRIED, "ended_at"]
    found = []
    for phase in phases:
        sent = evidence.history[evidence.history["phase"] == phase.name]
        if not phase.is_paced or sent.empty:
            continue
        begin = float(sent["scheduled_at"].min()) + longest_backoff_s(evidence)
        end = float(sent["scheduled_at"].max())
        length_s = end - begin
        own = tasks[tasks["phase"] == phase.name]
        counts = {
            "goodput_per_s": _within(own.loc[good[own.index], "finished_at"], begin, end),
            "throughput_per_s": _within(own["finished_at"], begin, end),
        }
        counts["attempts_per_s"] = counts["throughput_per_s"] + _within(retried_at, begin, end)
        is_long = length_s >= _LEAST_WINDOW_S
        found.append(
            {
                "workload": phase.workload,
                "workers": phase.workers,
                "window_s": [clean(begin - phase.started_at), clean(end - phase.started_at)],
                **{
                    name: per_s(count, length_s) if is_long else None
                    for name, count in counts.items()
                },
            }
        )
    return found


def extra_attempts_per_task(tasks: pd.DataFrame) -> float | None:
    """Attempts beyond each task's first one, a task, by the ledger."""
    return clean(float((tasks["attempts"] - 1).mean())) if len(tasks) else None


def _within(times: pd.Series[float], begin: float, end: float) -> int:
    return int(times.between(begin, end).sum())


def _spread(values: pd.Series[float], names: Sequence[str]) -> dict[str, float | None] | None:
    """The named values of a sample, each one that was seen; None where there is none."""
    if not len(values):
        return None
    ordered = np.sort(values.to_numpy(dtype=np.float64))
    at = {"min": 0.0, "p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: clean(float(np.quantile(ordered, at[name], method="higher"))) for name in names}


def _total(counts: Mapping[str, InstanceCount] | None) -> int | None:
    return None if counts is None else round(sum(one.counted for one in counts.values()))


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
