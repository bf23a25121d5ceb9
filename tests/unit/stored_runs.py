"""Writes runs as the store keeps them once they are summarised: run.json, summary.json, a page."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from task_lab.spec import load_definition, resolve

Rates = Mapping[tuple[str, int], Sequence[float]]

A = "20260101T000000Z-aaaaaaa-000a"
B = "20260102T000000Z-bbbbbbb-000b"
STEADY = [1000.0, 1010.0, 990.0, 1005.0, 995.0, 1002.0, 998.0, 1007.0]


def times(values: Sequence[float], factor: float) -> list[float]:
    """Each value so many times as large."""
    return [value * factor for value in values]


def store_run(
    results: Path,
    run_id: str,
    rounds: Rates | None = None,
    *,
    drains: Sequence[float] = (),
    asked: Mapping[str, object] | None = None,
    floor: float | None = None,
    p95_s: float = 0.2,
    **fields: Any,
) -> Path:
    """A finished throughput run whose submit and end-to-end rates are `rounds`."""
    folder = results / "throughput" / run_id
    folder.mkdir(parents=True)
    asked = dict(asked or {})
    at = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T{run_id[9:11]}:{run_id[11:13]}:00.000+00:00"
    run = {
        "schema": 2,
        "experiment": "throughput",
        "verdict": "PASS",
        "reason": "",
        "started_at": at,
        "ended_at": at,
        "ended": "completed",
        "params": {
            "asked": asked,
            "resolved": resolve(load_definition("throughput"), asked).model_dump(mode="json"),
        },
        "runtime": "native",
        "git": {"sha": run_id[17:24] + "0" * 33, "dirty": False},
        "machine": {"fingerprint": "cafe"},
        "versions": {"postgres": "15.9"},
        **fields,
    }
    rounds = {("sum", 1): STEADY} if rounds is None else rounds
    summary = {
        "schema": 2,
        "experiment": "throughput",
        "headline": [{"name": "sum 1", "value": 1000.0, "unit": "tasks/s", "better": "higher"}],
        "objectives": [],
        "points": [_point(key, values, drains, p95_s) for key, values in rounds.items()],
        "floor": floor and {"code_hash": "x", **dict.fromkeys(_RATES, floor)},
    }
    write(folder / "run.json", run)
    write(folder / "summary.json", summary)
    (folder / "summary.md").write_text("# throughput: PASS\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    (folder / "report.html").write_text("<!doctype html><title>run</title>")
    (folder / "history.jsonl").write_text('{"phase":"sum-w1-r01"}\n')
    (folder / "figures").mkdir()
    (folder / "figures" / "rates.png").write_bytes(b"\x89PNG")
    return folder


def write(path: Path, document: object) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(document), "utf-8")


def change(folder: Path, **fields: Any) -> Path:
    """Set fields of run.json; a dotted name sets one further in."""
    run = json.loads((folder / "run.json").read_text("utf-8"))
    changed = copy.deepcopy(run)
    for name, value in fields.items():
        *outer, last = name.split("__")
        target = changed
        for part in outer:
            target = target[part]
        target[last] = value
    write(folder / "run.json", changed)
    return folder


_RATES = ("submit_per_s", "drain_per_s", "end_to_end_per_s")


def _point(
    key: tuple[str, int], values: Sequence[float], drains: Sequence[float], p95_s: float
) -> dict[str, Any]:
    def one(value: float, kind: str) -> dict[str, Any]:
        return {"kind": kind, "submit_per_s": value, "end_to_end_per_s": value}

    latency = {"p50": 0.1, "p95": p95_s, "p99": 0.3}
    interval = {"low": p95_s * 0.9, "high": p95_s * 1.1, "method": "bootstrap", "confidence": 0.95}
    evidence = {"too_short": {"p99": "too short for p99"}, "intervals": {"p95": interval}}
    return {
        "workload": key[0],
        "workers": key[1],
        "rounds": [one(1.0, "warmup"), *(one(value, "round") for value in values)],
        "drains": [{"drain_per_s": value} for value in drains],
        "queue_wait_s": latency,
        "end_to_end_s": latency,
        "latency_evidence": {"queue_wait_s": evidence, "end_to_end_s": evidence},
    }
