"""Run folders as the index reads them: run.json, summary.json and a report, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MACHINES = {"a1b2c3": "Example CPU", "d4e5f6": "Other CPU"}
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class IndexRun:
    """One run. number: the days since the first, which make its name unique."""

    number: int
    experiment: str = "throughput"
    verdict: str = "PASS"
    machine: str = "a1b2c3"
    dirty: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self._started:%Y%m%dT%H%M%SZ}-{self.number:07x}-beef"

    @property
    def id(self) -> str:
        return f"{self.experiment}/{self.name}"

    @property
    def _started(self) -> datetime:
        return FIRST + timedelta(days=self.number)

    def write(self, results: Path) -> Path:
        folder = results / self.experiment / self.name
        folder.mkdir(parents=True)
        run = {
            "schema": 1,
            "experiment": self.experiment,
            "verdict": self.verdict,
            "reason": self.reason,
            "started_at": self._started.isoformat(timespec="milliseconds"),
            "runtime": "native",
            "params": {"asked": self.asked, "resolved": {"tasks": 2000, **self.asked}},
            "git": {"sha": f"{self.number:07x}" + "0" * 33, "dirty": self.dirty},
            "machine": {"fingerprint": self.machine, "cpu": MACHINES[self.machine], "cores": 2},
        }
        (folder / "run.json").write_text(json.dumps(run))
        if self.summary is not None:
            (folder / "summary.json").write_text(json.dumps(self.summary))
            (folder / "report.html").write_text("<!DOCTYPE html><title>A report</title>")
        return folder


def points(**rates: float | None) -> dict[str, Any]:
    """A summary of throughput: `points(sum_1=2345.6)`."""
    return {
        "points": [
            {
                "workload": name.split("_")[0],
                "workers": int(name.split("_")[1]),
                "end_to_end_per_s": rate,
            }
            for name, rate in rates.items()
        ]
    }


def headline(*figures: tuple[str, float | None, str, str]) -> dict[str, Any]:
    """A summary that says itself what counts."""
    names = ("name", "value", "unit", "better")
    return {"headline": [dict(zip(names, figure, strict=True)) for figure in figures]}


def write_all(results: Path, runs: Sequence[IndexRun]) -> None:
    for run in runs:
        run.write(results)


def several() -> list[IndexRun]:
    """Twelve runs of three experiments on two machines, of every verdict."""
    rates = (2900.0, 950.0, 2950.0, 3010.0, 2700.0, 3100.0)
    runs = [
        IndexRun(i, summary=points(sum_1=rate, sleep_3=rate / 2)) for i, rate in enumerate(rates)
    ]
    runs[1].asked = {"tasks": 200}
    runs[2].dirty = True
    runs[4].verdict, runs[4].reason = "FAIL", "counts_agree: 3 differ"
    return [
        *runs,
        IndexRun(10, machine="d4e5f6", summary=points(sum_1=5200.0)),
        IndexRun(11, machine="d4e5f6", summary=points(sum_1=5300.0)),
        IndexRun(20, "faults", summary=headline(("time to recover", 2.5, "s", "lower"))),
        IndexRun(
            21, "faults", "INVALID", summary=headline(("time to recover", None, "s", "lower"))
        ),
        IndexRun(22, "faults", "INTERRUPTED", reason="stopped by Ctrl-C"),
        IndexRun(30, "of_tomorrow", "UNKNOWN", summary=headline(("joy", 12.0, "%", "higher"))),
    ]
