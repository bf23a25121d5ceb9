"""Writes run folders as the lab leaves them, without a stack: the same files, made-up numbers."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from task_lab.schema import SCHEMA
from task_lab.spec import load_definition, resolve

from .resource_samples import START, Part
from .resource_samples import lines as resource_lines

STEP_S = 0.25
RESULTS = {"sum": '{"sum": 15}', "sleep": '{"slept_s": 0.02}', "cpu": "{}"}


@dataclass
class FakeRun:
    """What to write. Rates are tasks per second, by (workload, workers)."""

    rounds: int = 7
    tasks: int = 400
    drain_tasks: int = 1200
    drains: int = 1
    rates: Mapping[tuple[str, int], float] = field(
        default_factory=lambda: {
            ("sum", 1): 2900.0,
            ("sum", 3): 2700.0,
            ("sleep", 1): 480.0,
            ("sleep", 3): 1420.0,
        }
    )
    drain_factor: Mapping[str, float] = field(default_factory=lambda: {"sum": 5.0, "sleep": 1.0})
    verdict: str = "PASS"
    ended: str | None = "completed"
    seed: int = 7


class Writer:
    """Plays the phases on a clock of its own and keeps what each file has to say."""

    def __init__(self, fake: FakeRun) -> None:
        self.fake = fake
        self.rng = random.Random(fake.seed)
        self.now = START
        self.events: list[dict[str, Any]] = []
        self.history: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.load_phases: dict[str, dict[str, float]] = {}
        self.finishes: dict[str, list[float]] = {}
        self.spans: list[tuple[float, float, list[str]]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append({"at": self.now, "event": name, **fields})

    def play(self) -> None:
        port = 9200
        for (workload, workers), rate in self.fake.rates.items():
            instances = [f"127.0.0.1:{port + i}" for i in range(workers)]
            port += workers
            self.event("scaled", workers=workers, replicas=instances)
            begun = self.now
            self.now += 1.5
            self.round(workload, workers, rate, instances, min(self.fake.tasks, 200), None)
            for number in range(1, self.fake.rounds + 1):
                self.round(workload, workers, rate, instances, self.fake.tasks, number)
            for number in range(1, self.fake.drains + 1):
                self.drain(workload, workers, rate, instances, number)
            self.spans.append((begun, self.now, instances))
        self.now += 1.0  # every worker is scraped once more
        self.event("settled", settled=True, scraped=True)

    def round(
        self,
        workload: str,
        workers: int,
        rate: float,
        instances: Sequence[str],
        tasks: int,
        number: int | None,
    ) -> None:
        kind = "warmup" if number is None else "round"
        suffix = "warmup" if number is None else f"r{number:02d}"
        phase = f"{workload}-w{workers}-{suffix}"
        self.begin(phase, kind, workload, workers, tasks, number)
        rate *= self.rng.uniform(0.93, 1.07) * (0.7 if number is None else 1.0)
        submit = max(rate, 2950.0) * self.rng.uniform(1.0, 1.05)
        service_s = 0.02 if workload == "sleep" else 0.00002
        first = self.now
        last = first
        for index in range(tasks):
            scheduled = first + index / submit
            answered = scheduled + 0.018 * self.rng.uniform(0.6, 1.9)
            finished = max(first + (index + 1) / rate, answered) + service_s
            finished += self.rng.expovariate(1 / 0.004)
            self.submitted(phase, index, scheduled, answered)
            started = finished - service_s * self.rng.uniform(1.0, 1.05)
            created = min(answered - 0.002, started - 0.0001)
            self.finished(phase, workload, workers, created, started, finished, instances)
            last = max(last, finished)
        self.now = last + 0.1
        self.end(phase, tasks, first)

    def drain(
        self, workload: str, workers: int, rate: float, instances: Sequence[str], number: int
    ) -> None:
        tasks = self.fake.drain_tasks
        suffix = "drain" if self.fake.drains == 1 else f"drain{number}"
        phase = f"{workload}-w{workers}-{suffix}"
        self.begin(phase, "drain", workload, workers, tasks, number)
        first = self.now
        for index in range(tasks):
            sent = first + (index // 500) * 0.06
            self.submitted(phase, index, sent, sent + 0.05)
        self.now = first + (tasks // 500) * 0.06 + 0.6
        self.event("resumed", phase=phase)
        rate *= self.fake.drain_factor[workload] * self.rng.uniform(0.97, 1.03)
        service_s = 0.02 if workload == "sleep" else 0.00002
        resumed = self.now + 0.05
        for index in range(tasks):
            started = resumed + index / rate
            finished = started + service_s * 1.02
            created = first + (index // 500) * 0.06 + 0.04
            self.finished(phase, workload, workers, created, started, finished, instances)
        self.now = resumed + tasks / rate + 0.2
        self.end(phase, tasks, first)

    def begin(
        self,
        phase: str,
        kind: str,
        workload: str,
        workers: int,
        tasks: int,
        number: int | None,
    ) -> None:
        self.event(
            "phase_started",
            phase=phase,
            kind=kind,
            workload=workload,
            workers=workers,
            tasks=tasks,
            round=number,
        )

    def end(self, phase: str, tasks: int, first: float) -> None:
        self.event("phase_ended", phase=phase, drained=True)
        self.load_phases[phase] = {
            "cpu_share": self.rng.uniform(0.5, 0.7),
            "loop_lag_p99_ms": self.rng.uniform(2, 6),
            "submitted": tasks,
            "duration_s": self.now - first,
        }
        self.now += 0.15

    def submitted(self, phase: str, index: int, scheduled: float, answered: float) -> None:
        self.history.append(
            {
                "phase": phase,
                "index": index,
                "task_id": f"task-{len(self.history):07d}",
                "outcome": "accepted",
                "status": 201,
                "scheduled_at": scheduled,
                "sent_at": scheduled + 0.0001,
                "answered_at": answered,
            }
        )

    def finished(
        self,
        phase: str,
        workload: str,
        workers: int,
        created: float,
        started: float,
        finished: float,
        instances: Sequence[str],
    ) -> None:
        self.tasks.append(
            {
                "id": f"task-{len(self.tasks):07d}",
                "tenant": "default",
                "task_type": workload,
                "max_retries": 3,
                "state": "SUCCEEDED",
                "attempts": 1,
                "fence": 1,
                "isolate": False,
                "result": RESULTS.get(workload),
                "error": None,
                "created_at": created,
                "due_at": created,
                "started_at": started,
                "finished_at": finished,
                "phase": phase,
                "workload": workload,
                "workers": float(workers),
            }
        )
        self.finishes.setdefault(self.rng.choice(instances), []).append(finished)

    def grid(self) -> list[float]:
        return [START + i * STEP_S for i in range(int((self.now - START) / STEP_S) + 1)]

    def counted(self, instance: str, begun: float, ended: float) -> list[list[float]]:
        done = sorted(self.finishes.get(instance, []))
        points: list[list[float]] = []
        seen = 0
        for at in self.grid():
            if begun <= at <= ended + 1:
                while seen < len(done) and done[seen] <= at:
                    seen += 1
                points.append([at, float(seen)])
        return points

    def depths(self) -> dict[float, float]:
        grid = self.grid()
        created = sorted(t["created_at"] for t in self.tasks)
        started = sorted(t["started_at"] for t in self.tasks)
        found = {}
        i = j = 0
        for at in grid:
            while i < len(created) and created[i] <= at:
                i += 1
            while j < len(started) and started[j] <= at:
                j += 1
            found[at] = float(max(0, i - j))
        return found

    def metrics(self) -> dict[str, dict[str, Any]]:
        per_instance = {
            name: self.counted(name, begun, ended)
            for begun, ended, names in self.spans
            for name in names
        }
        raw = [
            {"labels": {"instance": name, "job": "worker"}, "points": points}
            for name, points in per_instance.items()
        ]
        totals: dict[float, float] = {}
        for points in per_instance.values():
            by_time = {point[0]: point[1] for point in points}
            for at in by_time:
                gain = by_time[at] - by_time.get(at - 1.0, 0.0)
                totals[at] = totals.get(at, 0.0) + gain
        rate = [[at, value] for at, value in sorted(totals.items())]
        depths = self.depths()
        ready: list[list[float]] = []
        shown = 0.0
        for index, (at, value) in enumerate(depths.items()):
            shown = max(0.0, value - 500) if index % 4 == 0 else shown
            ready.append([at, shown])
        return {
            "throughput": _answer("sum(rate(worker_tasks_processed_total[1s]))", [({}, rate)]),
            "processed_raw": {
                **_answer('worker_tasks_processed_total{job="worker"}', []),
                "series": raw,
            },
            **self.counters(raw),
            "cpu_seconds": self.cpu(),
            "queue_wait_buckets": self.buckets(),
            "queue_ready": _answer(
                'rabbitmq_queue_messages_ready{queue="tasks"}', [({"queue": "tasks"}, ready)]
            ),
            "in_flight": _answer(
                "sum(worker_tasks_in_flight)",
                [({}, [[at, min(value, 500.0)] for at, value in depths.items()])],
            ),
        }

    def cpu(self) -> dict[str, Any]:
        cores = {"api": 0.35, "relay": 0.03}
        series = [
            ({"job": job, "instance": job}, [[at, (at - START) * used] for at in self.grid()])
            for job, used in cores.items()
        ]
        for begun, ended, names in self.spans:
            for name in names:
                points = [[t, (t - begun) * 0.4] for t in self.grid() if begun <= t <= ended]
                series.append(({"job": "worker", "instance": name}, points))
        return _answer("process_cpu_seconds_total", series)

    def buckets(self) -> dict[str, Any]:
        waits = sorted((t["finished_at"], t["started_at"] - t["due_at"]) for t in self.tasks)
        series = []
        for bound in (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf")):
            points = []
            index = below = 0
            for at in self.grid():
                while index < len(waits) and waits[index][0] <= at:
                    below += waits[index][1] <= bound
                    index += 1
                points.append([at, float(below)])
            series.append(({"le": "+Inf" if bound == float("inf") else str(bound)}, points))
        return _answer("sum by (le) (worker_queue_wait_seconds_bucket)", series)

    def counters(self, raw: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        end = self.grid()[-1]
        found = {}
        for counter in ("processed", "failed", "retried", "given_back"):
            for suffix, index in (("first", 0), ("last", -1), ("resets", 0)):
                scale = float(counter == "processed" and suffix != "resets")
                values = [
                    (line["labels"], [[end, line["points"][index][1] * scale]]) for line in raw
                ]
                name = f"{counter}_{suffix}"
                found[name] = _answer(f"{suffix} of worker_tasks_{counter}_total", values)
        return found


def _answer(query: str, series: list[tuple[Any, list[list[float]]]]) -> dict[str, Any]:
    return {
        "query": query,
        "start": START,
        "end": series[0][1][-1][0] if series else START + 1,
        "step_s": STEP_S,
        "scrapes": 100,
        "series": [{"labels": dict(labels), "points": points} for labels, points in series],
    }


def write_run(folder: Path, fake: FakeRun | None = None) -> Path:
    """Fill `folder` with the raw files of a finished run and return it."""
    fake = fake or FakeRun()
    writer = Writer(fake)
    writer.play()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics").mkdir()
    for name, answer in writer.metrics().items():
        _write(folder / "metrics" / f"{name}.json", {"name": name, **answer})
    _write(folder / "run.json", _run(fake))
    _write_lines(folder / "events.jsonl", writer.events)
    _write_lines(folder / "history.jsonl", writer.history)
    samples = [
        {"at": at, "ready": max(0, int(depth) - 480), "consumers": 3}
        for at, depth in writer.depths().items()
    ]
    _write_lines(folder / "samples.jsonl", samples)
    parts = {"api": Part(cores=0.4), "worker": Part(cores=0.6), "postgres": Part(cores=0.3)}
    _write_lines(folder / "resources.jsonl", resource_lines(parts, writer.now - START))
    load = {
        "calibration": {"stub_per_s": 4870.0, "in_flight": 64},
        "phases": writer.load_phases,
        "verdict": "PASS",
        "reasons": [],
    }
    _write(folder / "load.json", load)
    floor = {
        "code_hash": "4f1c09aa",
        "submit_per_s": 52000.0,
        "drain_per_s": 31000.0,
        "end_to_end_per_s": 24000.0,
    }
    _write(folder / "floor.json", floor)
    checks = [
        {
            "name": "every accepted task is terminal",
            "verdict": "PASS",
            "detail": "",
            "expected": len(writer.tasks),
            "observed": len(writer.tasks),
        },
        {
            "name": "dead letters are the failed tasks",
            "verdict": "PASS",
            "detail": "",
            "expected": 0,
            "observed": 0,
        },
    ]
    _write(folder / "checks.json", {"verdict": "PASS", "checks": checks})
    _write(folder / "dlq.json", {"message_ids": [], "count": 0})
    dead_letters = pd.DataFrame({"task_id": pd.Series(dtype=str)})
    dead_letters.assign(reason="", failed_at=0.0, resolved_at=0.0).to_parquet(
        folder / "dead_letters.parquet"
    )
    failures = pd.DataFrame(columns=["task_id", "fence", "attempt", "outcome", "error_type"])
    failures.astype(object).to_parquet(folder / "attempt_failures.parquet")
    pd.DataFrame(writer.tasks).to_parquet(folder / "tasks.parquet")
    return folder


def _run(fake: FakeRun) -> dict[str, Any]:
    asked = {"tasks": fake.tasks, "rounds": fake.rounds, "drain_tasks": fake.drain_tasks}
    spec = resolve(load_definition("throughput"), asked)
    return {
        "schema": SCHEMA,
        "experiment": "throughput",
        "verdict": fake.verdict,
        "ended": fake.ended,
        "runtime": "native",
        "params": {"asked": asked, "resolved": spec.model_dump(mode="json")},
        "git": {"sha": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "machine": {
            "cpu": "Example CPU @ 2.5 GHz",
            "cores": 2,
            "memory_bytes": 25_000_000_000,
            "kernel": "6.1.0",
            "fingerprint": "a1b2c3",
        },
        "versions": {
            "python": "3.11.2",
            "postgres": "15.9",
            "rabbitmq": "3.10.8",
            "prometheus": "2.42.0",
            "redis": "7.0.15",
            "task_platform": "0.1.0",
        },
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "ended_at": "2026-01-02T03:06:05.000+00:00",
        "windows": {"start": START, "end": START + 120},
    }


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
