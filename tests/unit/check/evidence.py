"""Evidence of a small run in which everything is right, to be sabotaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.spec import load_definition, resolve

WORKLOADS = {"sum": '{"sum": 15}', "sleep": '{"slept_s": 0.02}'}
SPEC = resolve(load_definition("throughput"), {"tasks": 10, "rounds": 2, "drain_tasks": 15})


def good_evidence() -> Evidence:
    """Two workloads, two worker counts, every task sent once and finished with its result."""
    history, tasks, events = [], [], []
    at, number = 1_000.0, 0
    for phase in SPEC.phases():
        about = {"phase": phase.name, "workload": phase.workload, "workers": phase.workers}
        events.append({"at": at, "event": "phase_started", **about})
        for index in range(phase.tasks):
            task_id, number, at = f"{number:08d}", number + 1, at + 0.01
            history.append((phase.name, index, task_id, "accepted", 201, at, at, at + 0.005))
            tasks.append(
                {
                    "id": task_id,
                    "task_type": phase.workload,
                    "state": "SUCCEEDED",
                    "attempts": 1,
                    "max_retries": 3,
                    "fence": 1,
                    "result": WORKLOADS[phase.workload],
                    "created_at": at + 0.001,
                    "started_at": at + 0.002,
                    "finished_at": at + 0.003,
                    **about,
                }
            )
        at += 100  # far beyond the time in which a late commit is still looked for
        events.append({"at": at, "event": "phase_ended", **about, "drained": True})
    events.append({"at": at, "event": "settled", "settled": True, "scraped": True})
    half, rest = number // 2, number - number // 2
    return Evidence(
        spec=SPEC,
        history=pd.DataFrame(
            history,
            columns=[
                *("phase", "index", "task_id", "outcome", "status"),
                *("scheduled_at", "sent_at", "answered_at"),
            ],
        ),
        tasks=pd.DataFrame(tasks),
        dead_letters=pd.DataFrame({"task_id": [], "resolved_at": []}).astype({"task_id": str}),
        dlq_ids=[],
        events=events,
        prometheus={
            "processed": {
                "a:1": InstanceCount(0, half, 0),
                "b:1": InstanceCount(0, rest, 0),
            },
            "failed": {"a:1": InstanceCount(0, 0, 0), "b:1": InstanceCount(0, 0, 0)},
        },
        failures=failures_of([]),
        given_back={"a:1": InstanceCount(0, 0, 0), "b:1": InstanceCount(0, 0, 0)},
    )


def failures_of(rows: list[tuple[str, int, str]]) -> pd.DataFrame:
    """Attempts that came to no success: task_id, fence and outcome of each."""
    frame = pd.DataFrame(rows, columns=["task_id", "fence", "outcome"])
    return frame.astype({"task_id": object, "fence": "int64", "outcome": object})


def with_task(evidence: Evidence, row: int, **fields: Any) -> Evidence:
    """The evidence with fields of one ledger row changed."""
    tasks = evidence.tasks.copy()
    for name, value in fields.items():
        if value is None:
            tasks[name] = tasks[name].astype(object)
        tasks.loc[row, name] = np.nan if value is None else value
    return replace(evidence, tasks=tasks)


def with_submission(evidence: Evidence, row: int, **fields: Any) -> Evidence:
    """The evidence with fields of one submission changed."""
    history = evidence.history.copy()
    for name, value in fields.items():
        history[name] = history[name].astype(object)
        history.loc[row, name] = value
    return replace(evidence, history=history)


def with_failed_task(evidence: Evidence, row: int = 0) -> Evidence:
    """The evidence with one task that properly failed: dead-lettered, queued, counted."""
    failed = evidence.tasks.loc[row, "id"]
    changed = with_task(evidence, row, state="FAILED", attempts=4, fence=4, result=None)
    return replace(
        changed,
        dead_letters=pd.DataFrame({"task_id": [failed], "resolved_at": [np.nan]}),
        dlq_ids=[str(failed)],
        failures=failures_of(
            [*((str(failed), n, "retried") for n in (1, 2, 3)), (str(failed), 4, "dead")]
        ),
    )
