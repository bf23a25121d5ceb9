"""load.json: what the generator says of itself, and why it may have been the limit, if so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from task_lab.load.calibration import judge_closed_loop, judge_open_loop, judge_send_lag
from task_lab.load.wire import SenderReport
from task_lab.measure.bench import Bench
from task_lab.spec import Phase
from task_lab.stats import percentile


def record_load(bench: Bench, calibration: Mapping[str, Any] | None) -> None:
    """Write load.json anew with everything the generator has said so far."""
    reasons = [*_closed_loops(bench), *_open_loops(bench)]
    bench.folder.write_json(
        "load.json",
        {
            "calibration": calibration,
            "phases": {name: _as_json(report) for name, report in bench.reports.items()},
            "verdict": "INVALID" if reasons else "PASS",
            "reasons": reasons,
        },
    )


def _closed_loops(bench: Bench) -> list[str]:
    """The rounds of a point are pooled: each is too short for a percentile of its own."""
    points: dict[str, list[SenderReport]] = {}
    for phase in bench.phases:
        if phase.kind == "round" and phase.name in bench.reports:
            point = f"{phase.workload} with {phase.workers} workers"
            points.setdefault(point, []).append(bench.reports[phase.name])
    return [
        reason for point, reports in points.items() for reason in judge_closed_loop(point, reports)
    ]


def _open_loops(bench: Bench) -> list[str]:
    return [
        reason
        for phase in bench.phases
        if phase.offered_per_s and phase.name in bench.reports
        for reason in _judge_paced(phase, bench.reports[phase.name], bench.stub_per_s)
    ]


def _judge_paced(phase: Phase, report: SenderReport, stub_per_s: float | None) -> list[str]:
    assert phase.offered_per_s is not None
    reasons = [*judge_closed_loop(phase.name, [report]), *judge_send_lag(phase.name, report)]
    if stub_per_s is None:
        return [*reasons, f"{phase.name}: the generator was not calibrated"]
    return [*reasons, *judge_open_loop(phase.name, phase.offered_per_s, stub_per_s)]


def _as_json(report: SenderReport) -> dict[str, Any]:
    lag_s = percentile(report.loop_lag_s, 0.99) if report.loop_lag_s else None
    send_lag_s = report.send_lag_s
    return {
        "cpu_share": report.cpu_share,
        "loop_lag_p99_ms": None if lag_s is None else lag_s * 1e3,
        "send_lag_p99_ms": percentile(send_lag_s, 0.99) * 1e3 if send_lag_s else None,
        "submitted": report.submitted,
        "accepted": report.accepted,
        "rejected": report.rejected,
        "unknown": report.unknown,
        "problems": report.problems,
        "duration_s": report.duration_s,
        "submit_per_s": report.submit_per_s,
    }
