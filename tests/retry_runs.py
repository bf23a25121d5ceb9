"""A run of failing tasks in which everything is as foretold: as evidence, and as a run folder."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from task_lab.check.backoff import policy_of
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.histories_ledger import DeadLetter, FailedAttempt, Ledger, TaskRow, Transition
from task_lab.load.mix import mix_of
from task_lab.schema import SCHEMA
from task_lab.spec import Part, Phase, RetriesSpec, load_definition, resolve
from task_platform.domain.retry import backoff_s
from task_platform.domain.task import State

START = 1_760_000_000.0
STEP_S = 0.25
# Long enough that every retry is under way while the load still goes on.
ASKED: dict[str, Any] = {"tasks": 600, "per_s": 60, "seed": 7, "arrivals": "constant"}
_SERVICE_S, _LATE_S = 0.001, 0.02


@dataclass
class _Writer:
    """Plays every task of every phase, one attempt after the other, on a clock of its own."""

    spec: RetriesSpec
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    now: float = START
    events: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Transition] = field(default_factory=list)
    payloads: dict[str, Any] = field(default_factory=dict)

    def play(self) -> None:
        phases = self.spec.phases()
        self.event("plan", phases=[phase.model_dump() for phase in phases])
        for phase in phases:
            about = phase.model_dump(exclude={"name"})
            self.event("phase_started", phase=phase.name, **about)
            first, last = self.now, self.now
            workload = self.spec.workload(phase.workload)
            mix = mix_of(workload, phase, self.spec.seed)
            for index in range(phase.tasks):
                sent_at = first + index / (phase.offered_per_s or 200.0)
                part = workload.parts[mix[index] if mix else 0]
                last = max(last, self.task(phase, index, part, sent_at))
            self.now = last + 0.1
            self.event("phase_ended", phase=phase.name, drained=True, **about)
        self.event("settled", settled=True, scraped=True)

    def event(self, name: str, **fields: Any) -> None:
        self.events.append({"at": self.now, "event": name, **fields})

    def task(self, phase: Phase, index: int, part: Part, sent_at: float) -> float:
        """When the task became terminal."""
        task_id, created_at = f"{len(self.tasks):08d}", sent_at + 0.002
        self.history.append(
            {
                **{"phase": phase.name, "index": index, "task_id": task_id},
                **{"outcome": "accepted", "status": 201},
                **{"scheduled_at": sent_at, "sent_at": sent_at, "answered_at": sent_at + 0.004},
            }
        )
        self.payloads[task_id] = part.payload
        self.step(task_id, None, State.QUEUED, 0, 0, created_at, 0.0)
        due_at = created_at
        for attempt in range(1, part.attempts + 1):
            claimed_at = due_at + _LATE_S
            ended_at = claimed_at + _SERVICE_S
            self.step(
                *(task_id, State.QUEUED, State.PROCESSING, attempt, attempt, claimed_at, -_LATE_S)
            )
            is_last = attempt == part.attempts
            if is_last and part.ends == State.SUCCEEDED:
                break
            self.failures.append(
                {
                    **{"task_id": task_id, "fence": attempt, "attempt": attempt},
                    **{"outcome": "dead" if is_last else "retried"},
                    **{"error_type": part.reason or "RuntimeError", "worker": "worker-1"},
                    **{"started_at": claimed_at, "ended_at": ended_at},
                }
            )
            if not is_last:
                wait_s = backoff_s(policy_of(self.spec.settings), attempt, self.rng.random())
                self.step(
                    *(task_id, State.PROCESSING, State.QUEUED, attempt, attempt, ended_at, wait_s)
                )
                due_at = ended_at + wait_s
        after = State(part.ends)
        self.step(task_id, State.PROCESSING, after, part.attempts, part.attempts, ended_at, 0.0)
        if after is State.FAILED:
            letter = {"task_id": task_id, "reason": part.reason, "failed_at": ended_at}
            self.letters.append({**letter, "resolved_at": np.nan, "resolution": None})
        self.tasks.append(
            {
                **{"id": task_id, "tenant": "default", "task_type": part.task_type},
                **{"max_retries": part.max_retries, "state": part.ends},
                **{"attempts": part.attempts, "fence": part.attempts, "isolate": False},
                "result": None if part.expect is None else json.dumps(part.expect),
                **{"error": None, "created_at": created_at, "due_at": due_at},
                **{"started_at": claimed_at, "finished_at": ended_at, "phase": phase.name},
                **{"index": index, "workload": phase.workload, "workers": phase.workers},
            }
        )
        return ended_at

    def step(
        self,
        task_id: str,
        before: State | None,
        after: State,
        fence: int,
        attempts: int,
        at: float,
        due_in_s: float,
    ) -> None:
        self.steps.append(Transition(task_id, before, after, fence, attempts, at, due_in_s))

    def evidence(self) -> Evidence:
        outcomes = Counter(one["outcome"] for one in self.failures)
        succeeded = sum(one["state"] == State.SUCCEEDED for one in self.tasks)
        letters = ["task_id", "reason", "failed_at", "resolved_at", "resolution"]
        failures = ["task_id", "fence", "attempt", "outcome", "error_type", "worker"]
        return Evidence(
            spec=self.spec,
            history=pd.DataFrame(self.history),
            tasks=pd.DataFrame(self.tasks),
            dead_letters=pd.DataFrame(self.letters, columns=letters),
            dlq_ids=[one["task_id"] for one in self.letters],
            events=self.events,
            prometheus={
                "processed": {"worker-1": InstanceCount(0, succeeded, 0)},
                "failed": {"worker-1": InstanceCount(0, outcomes["dead"], 0)},
            },
            failures=pd.DataFrame(self.failures, columns=[*failures, "started_at", "ended_at"]),
            given_back={"worker-1": InstanceCount(0, 0, 0)},
            retried={"worker-1": InstanceCount(0, outcomes["retried"], 0)},
            witness=_ledger(self),
        )


def _ledger(writer: _Writer) -> Ledger:
    names = ("id", "task_type", "max_retries", "attempts", "fence", "result")
    dead = [one["task_id"] for one in writer.letters]
    return Ledger(
        tasks=[
            TaskRow(
                **{n: one[n] for n in names},
                payload=json.dumps(writer.payloads[one["id"]]),
                state=State(one["state"]),
            )
            for one in writer.tasks
        ],
        keys={f"{one['phase']}-{one['index']}": [one["task_id"]] for one in writer.history},
        failures=[
            FailedAttempt(one["task_id"], one["fence"], one["attempt"], one["outcome"])
            for one in writer.failures
        ],
        dead_letters=[DeadLetter(task_id, True) for task_id in dead],
        effect_log=[],
        effects=[],
        claims=[],
        outbox=[],
        transitions=sorted(writer.steps, key=lambda step: step.seen_at),
        dlq_ids=dead,
        tasks_depth=0,
    )


def retries_evidence(**asked: Any) -> Evidence:
    """The evidence of such a run, times and all."""
    return _played(asked).evidence()


def _played(asked: dict[str, Any]) -> _Writer:
    spec = resolve(load_definition("retries_and_dlq"), {**ASKED, **asked})
    assert isinstance(spec, RetriesSpec)
    writer = _Writer(spec)
    writer.play()
    return writer


def write_retries_run(folder: Path, **asked: Any) -> Path:
    """Fill `folder` with the raw files of such a run and return it."""
    writer = _played(asked)
    evidence = writer.evidence()
    (folder / "metrics").mkdir(parents=True)
    for name, document in _metrics(evidence, writer.now).items():
        _write(folder / "metrics" / f"{name}.json", {"name": name, **document})
    _write(folder / "run.json", _run(writer, asked))
    for name, rows in (("events", writer.events), ("history", writer.history)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    phases = {
        phase.name: {
            **{"cpu_share": 0.2, "loop_lag_p99_ms": 3.0, "send_lag_p99_ms": 2.0, "problems": []},
            **{"submitted": phase.tasks, "accepted": phase.tasks, "rejected": 0, "unknown": 0},
            **{"duration_s": phase.duration_s or 1.0, "submit_per_s": phase.offered_per_s},
        }
        for phase in writer.spec.phases()
    }
    load = {"calibration": {"stub_per_s": 3000.0, "in_flight": 64}, "phases": phases}
    _write(folder / "load.json", {**load, "verdict": "PASS", "reasons": []})
    _write(folder / "floor.json", {"reason": "none was measured"})
    _write(
        folder / "dlq.json",
        {"message_ids": list(evidence.dlq_ids), "count": len(evidence.dlq_ids)},
    )
    evidence.tasks.to_parquet(folder / "tasks.parquet")
    evidence.dead_letters.to_parquet(folder / "dead_letters.parquet")
    assert evidence.failures is not None
    evidence.failures.to_parquet(folder / "attempt_failures.parquet")
    (folder / "witness.json").write_bytes(msgspec.json.encode(evidence.witness))
    return folder


def _metrics(evidence: Evidence, end: float) -> dict[str, dict[str, Any]]:
    failures = evidence.failures
    assert failures is not None
    tasks = evidence.tasks
    times = {
        "processed": tasks.loc[tasks["state"] == State.SUCCEEDED, "finished_at"],
        "failed": failures.loc[failures["outcome"] == "dead", "ended_at"],
        "retried": failures.loc[failures["outcome"] == "retried", "ended_at"],
    }
    grid = START + np.arange(int((end + 1 - START) / STEP_S)) * STEP_S
    found = {}
    rates = {"processed": "throughput", "failed": "dead_lettered", "retried": "retries"}
    for name, at in times.items():
        counted = np.searchsorted(np.sort(at), grid, side="right")
        points = [[float(t), float(n)] for t, n in zip(grid, counted, strict=True)]
        before = np.concatenate([np.zeros(4), counted[:-4]])
        rate = [[float(t), float(n)] for t, n in zip(grid, counted - before, strict=True)]
        found[f"{name}_raw"] = _answer(name, points, instance="worker-1")
        found[rates[name]] = _answer(f"rate({name}[1s])", rate)
        for end_name, value in (("first", 0.0), ("last", points[-1][1]), ("resets", 0.0)):
            found[f"{name}_{end_name}"] = _answer(name, [[end, value]], instance="worker-1")
    dead = [[at, value] for at, value in found["failed_raw"]["series"][0]["points"]]
    return {**found, "dlq_ready": _answer("rabbitmq_queue_messages_ready", dead)}


def _answer(query: str, points: list[list[float]], **labels: str) -> dict[str, Any]:
    window = {"start": points[0][0], "end": points[-1][0], "step_s": STEP_S, "scrapes": 100}
    return {"query": query, **window, "series": [{"labels": labels, "points": points}]}


def _run(writer: _Writer, asked: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "Example CPU", "cores": 2, "memory_bytes": 25_000_000_000}
    return {
        **{"schema": SCHEMA, "experiment": "retries_and_dlq", "verdict": "UNKNOWN"},
        **{"ended": "completed", "runtime": "native"},
        "params": {"asked": asked, "resolved": writer.spec.model_dump(mode="json")},
        "git": {"sha": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "machine": {**machine, "kernel": "6.1.0", "fingerprint": "a1b2c3"},
        "versions": {"python": "3.11.2", "task_platform": "0.1.0"},
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "ended_at": "2026-01-02T03:06:05.000+00:00",
        "windows": {"start": START, "end": writer.now},
    }


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
