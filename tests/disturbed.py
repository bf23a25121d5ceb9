"""A paced load that was disturbed, as its records tell it: made up, with one kill in the middle.

20 tasks a second for 40 s. At 10 s worker-1 is killed, started again at 12 s; whatever is due from
10 s on is finished at 13 s, and the two tasks that worker-1 held come back at 20 s, are run twice,
and are finished half a second later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.histories_ledger import (
    FailedAttempt,
    Ledger,
    LoggedEffect,
    RecordedEffect,
    TaskRow,
    Transition,
)
from task_lab.report.records import Metric, Phase, Series
from task_lab.spec import load_definition, resolve
from task_platform.domain.task import State

from .run_folders import FakeRun, write_run

START = 1_000.0
LOAD_S, PER_S = 40.0, 20.0
KILLED_S, STARTED_S, BACK_S, RETURNED_S = 10.0, 12.0, 13.0, 20.0
TASKS = int(LOAD_S * PER_S)
# Those that worker-1 held when it was killed.
HELD = (198, 199)
PHASE_NAME = "effect-w2-load"
SPEC = resolve(
    load_definition("faults"), {"tasks": TASKS, "per_s": PER_S, "faults": "kill worker-1 at 10"}
)
PAYLOAD = SPEC.workloads[0].parts[0].payload
MAX_RETRIES = SPEC.workloads[0].parts[0].max_retries or 0


def id_of(index: int) -> str:
    return f"00000000-0000-7000-8000-{index:012d}"


def phase() -> Phase:
    """The load's phase, as its events tell it."""
    return Phase(
        name=PHASE_NAME,
        kind="load",
        workload="effect",
        workers=2,
        tasks=TASKS,
        round=None,
        started_at=START - 0.1,
        ended_at=START + LOAD_S + 1,
        resumed_at=None,
        offered_per_s=PER_S,
        duration_s=LOAD_S,
    )


def due_s(index: int) -> float:
    return index / PER_S


def finished_s(index: int) -> float:
    """When a task is finished, in seconds from the start of the load."""
    if index in HELD:
        return RETURNED_S + 0.5
    return BACK_S if KILLED_S <= due_s(index) < BACK_S else due_s(index) + 0.04


def history() -> pd.DataFrame:
    """What the client saw: every task accepted at once."""
    at = START + np.arange(TASKS) / PER_S
    return pd.DataFrame(
        {
            "phase": PHASE_NAME,
            "index": range(TASKS),
            "task_id": [id_of(index) for index in range(TASKS)],
            "outcome": "accepted",
            "status": 201,
            "scheduled_at": at,
            "sent_at": at,
            "answered_at": at + 0.01,
        }
    )


def tasks() -> pd.DataFrame:
    """The ledger's rows of the load."""
    finished = [START + finished_s(index) for index in range(TASKS)]
    return pd.DataFrame(
        {
            "id": [id_of(index) for index in range(TASKS)],
            "task_type": "effect",
            "state": "SUCCEEDED",
            "attempts": 1,
            "max_retries": MAX_RETRIES,
            "fence": [2 if index in HELD else 1 for index in range(TASKS)],
            "result": [json.dumps({"fence": 1}) for _ in range(TASKS)],
            "created_at": START + np.arange(TASKS) / PER_S + 0.005,
            "due_at": START + np.arange(TASKS) / PER_S + 0.005,
            "started_at": np.array(finished) - 0.01,
            "finished_at": finished,
            "phase": PHASE_NAME,
            "index": range(TASKS),
            "workload": "effect",
            "workers": 2,
        }
    )


def witness() -> Ledger:
    """Every record of every task."""
    indexes = range(TASKS)
    return Ledger(
        tasks=[
            TaskRow(
                id=id_of(index),
                task_type="effect",
                payload=json.dumps(PAYLOAD),
                max_retries=MAX_RETRIES,
                state=State.SUCCEEDED,
                attempts=1,
                fence=2 if index in HELD else 1,
                result='{"fence": 1}',
            )
            for index in indexes
        ],
        keys={f"{PHASE_NAME}-{index}": [id_of(index)] for index in indexes},
        failures=[FailedAttempt(id_of(index), 1, 1, "worker_lost") for index in HELD],
        dead_letters=[],
        effect_log=[
            *(LoggedEffect(id_of(index), 1, kind) for index in indexes for kind in _KINDS),
            *(LoggedEffect(id_of(index), 2, "started") for index in HELD),
        ],
        effects=[RecordedEffect(id_of(index), "effect", 1) for index in indexes],
        claims=[],
        outbox=[],
        transitions=[step for index in indexes for step in _life(index)],
        dlq_ids=[],
        tasks_depth=0,
    )


_KINDS = ("started", "guarded")


def _life(index: int) -> list[Transition]:
    begin, end = START + due_s(index) + 0.005, START + finished_s(index)
    queued, held, done = State.QUEUED, State.PROCESSING, State.SUCCEEDED

    def step(before: State | None, after: State, fence: int, at: float) -> Transition:
        attempts = 0 if after is queued else 1
        return Transition(id_of(index), before, after, fence, attempts, at)

    if index not in HELD:
        claimed = [step(queued, held, 1, end - 0.02), step(held, done, 1, end)]
        return [step(None, queued, 0, begin), *claimed]
    return [
        step(None, queued, 0, begin),
        step(queued, held, 1, begin + 0.01),
        step(held, queued, 1, START + RETURNED_S),
        step(queued, held, 2, end - 0.02),
        step(held, done, 2, end),
    ]


def events() -> list[dict[str, Any]]:
    """What the run noted, the healed fault included."""
    about = {"number": 1, "kind": "kill", "target": "worker-1"}
    announced = _announced()
    named = {"phase": announced.pop("name"), **announced}
    planned = [{**about, "at_s": KILLED_S, "for_s": 2.0}]
    killed, started = START + KILLED_S, START + STARTED_S
    load = phase()
    return [
        {"at": START - 1, "event": "plan", "phases": [_announced()]},
        {"at": START - 0.1, "event": "phase_started", **named},
        {"at": START - 0.1, "event": "fault_planned", "faults": planned},
        {"at": killed, "event": "fault_started", **about, "at_s": KILLED_S},
        {
            "at": killed,
            "event": "fault_injected",
            **about,
            "bit": True,
            "process": "worker-1",
            "pid": 4711,
            "state": "ended",
            "means": "SIGKILL",
        },
        {"at": started - 0.5, "event": "heal_started", **about},
        {"at": started, "event": "fault_healed", **about},
        {"at": load.ended_at - 0.5, "event": "healed"},
        {"at": load.ended_at, "event": "phase_ended", "drained": True, **named},
        {"at": load.ended_at + 1, "event": "settled", "settled": True, "scraped": True},
    ]


def _announced() -> dict[str, Any]:
    return next(one.model_dump(mode="json") for one in SPEC.phases() if one.name == PHASE_NAME)


def metric(name: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> Metric:
    """A metric by instance; seconds count from the start of the load."""
    return Metric(
        name=name,
        query=name,
        start=START,
        end=START + LOAD_S,
        step_s=0.25,
        series=tuple(
            Series(
                {"instance": instance},
                np.array([START + at for at, _ in points], np.float64),
                np.array([value for _, value in points], np.float64),
            )
            for instance, points in series.items()
        ),
    )


def metrics() -> dict[str, Metric]:
    """What Prometheus knows: the scrape that failed, the claims the relay took back."""
    return {
        "up": metric(
            "up",
            {
                "worker-1": [(9.75, 1), (10.0, 1), (10.25, 0), (12.25, 1)],
                "api": [(9.75, 1), (10.1, 0), (10.5, 1)],
            },
        ),
        "leases_expired": metric("leases_expired", {"relay": [(9, 0), (20.0, 0), (20.25, 1)]}),
    }


@dataclass
class Disturbed:
    """The evidence of the run, to be sabotaged. missing: tasks that Prometheus does not know of."""

    missing: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        seen = TASKS - self.missing
        before = 120 - self.missing
        samples = {
            "worker-1": [(START - 1, 0.0), (START + 9.75, before), (START + 12.5, 0.0)],
            "worker-2": [(START - 1, 0.0), (START + LOAD_S, seen - before)],
        }
        counts = {
            "worker-1": InstanceCount(0, before, 1),
            "worker-2": InstanceCount(0, seen - before, 0),
        }
        none = dict.fromkeys(counts, InstanceCount(0, 0, 0))
        given: dict[str, Any] = {
            "spec": SPEC,
            "history": history(),
            "tasks": tasks(),
            "dead_letters": pd.DataFrame({"task_id": [], "resolved_at": []}),
            "dlq_ids": [],
            "events": events(),
            "prometheus": {"processed": counts, "failed": none},
            "witness": witness(),
            "raw": {"processed": samples, "failed": {}},
        }
        return Evidence(**{**given, **self.changes})


def write_disturbed(folder: Path) -> Path:
    """Fill `folder` with the raw files of the run, Prometheus lacking 3 tasks; return it."""
    evidence = Disturbed(missing=3).evidence()
    assert evidence.raw is not None and evidence.prometheus is not None
    write_run(folder, FakeRun(rounds=1, tasks=1, drain_tasks=1, rates={("sum", 1): 100.0}))
    run = json.loads((folder / "run.json").read_text("utf-8"))
    run["experiment"] = "faults"
    run["params"] = {"asked": {}, "resolved": SPEC.model_dump(mode="json")}
    _write(folder / "run.json", run)
    said = {"cpu_share": 0.1, "loop_lag_p99_ms": 1.0, "send_lag_p99_ms": 1.0, "duration_s": LOAD_S}
    load = {"phases": {PHASE_NAME: said}, "verdict": "PASS", "reasons": []}
    _write(folder / "load.json", load)
    _lines(folder / "events.jsonl", events())
    _lines(folder / "history.jsonl", history().to_dict("records"))
    tasks().to_parquet(folder / "tasks.parquet")
    evidence.dead_letters.to_parquet(folder / "dead_letters.parquet")
    (folder / "witness.json").write_bytes(msgspec.json.encode(witness()))
    for metric in metrics().values():
        series = {
            one.labels["instance"]: [
                [float(at), float(v)] for at, v in zip(one.at, one.values, strict=True)
            ]
            for one in metric.series
        }
        _metric(folder, metric.name, series)
    _metric(folder, "processed_raw", evidence.raw["processed"])
    _metric(folder, "failed_raw", {"worker-2": [(START, 0.0)]})
    for counter, counts in evidence.prometheus.items():
        for end in ("first", "last", "resets"):
            values = {name: [(START, getattr(one, end))] for name, one in counts.items()}
            _metric(folder, f"{counter}_{end}", values)
    return folder


def _metric(folder: Path, name: str, series: Mapping[str, Any]) -> None:
    document = {
        "name": name,
        "query": name,
        "start": START,
        "end": START + LOAD_S,
        "step_s": 0.25,
        "scrapes": 100,
        "series": [
            {"labels": {"instance": instance}, "points": points}
            for instance, points in series.items()
        ],
    }
    _write(folder / "metrics" / f"{name}.json", document)


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document) + "\n", "utf-8")


def _lines(path: Path, rows: Sequence[Mapping[Any, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
