"""Was the generator the limit? What it does against a stub, and how its own report is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scipy.stats import binom

from task_lab.load.processes import Generator, Stub
from task_lab.load.wire import Load, SenderReport
from task_lab.stats import percentile

MAX_CPU_SHARE = 0.85
MAX_LOOP_LAG_P99_S = 0.050
# How surely the p99 must lie above the limit: a short run has few samples, and its p99 is then
# simply its slowest one.
_DOUBT = 0.05
# Open loop: the generator must be able to offer at least twice what it is asked to.
MAX_SHARE_OF_STUB = 0.5


def calibrate(
    generator: Generator, task: str, *, tasks: int, in_flight: int, scratch: Path
) -> SenderReport:
    """What the generator says about a closed loop against a server that answers at once.

    scratch: an existing folder for the calibration's own history and log; no part of the run.
    """
    with Stub(scratch / "stub.log") as stub:
        load = Load(
            phase="calibration",
            api_url=stub.url,
            bodies=[task],
            tasks=tasks,
            in_flight=in_flight,
            history=str(scratch / "calibration.jsonl"),
        )
        generator.offer(load)  # connections and code paths are warm in a measured phase too
        return generator.offer(load)


def judge_closed_loop(point: str, reports: Sequence[SenderReport]) -> list[str]:
    """Why the generator may have been the limit of these rounds; empty where it was not.

    Rounds of a point are pooled: one lasts about a second, too short for a percentile of its own.
    """
    reasons = []
    duration_s = sum(report.duration_s for report in reports)
    cpu_share = sum(report.cpu_s for report in reports) / max(duration_s, 1e-9)
    if cpu_share > MAX_CPU_SHARE:
        reasons.append(
            f"{point}: the generator used {cpu_share:.0%} of a core, {MAX_CPU_SHARE:.0%} allowed"
        )
    lag_s = [lag for report in reports for lag in report.loop_lag_s]
    late = sum(lag > MAX_LOOP_LAG_P99_S for lag in lag_s)
    if late and binom.sf(late - 1, len(lag_s), 0.01) < _DOUBT:
        reasons.append(
            f"{point}: the generator's loop woke up over {MAX_LOOP_LAG_P99_S * 1e3:.0f} ms late"
            f" {late} times of {len(lag_s)}, p99 {percentile(lag_s, 0.99) * 1e3:.0f} ms"
        )
    return reasons


def judge_open_loop(point: str, offered_per_s: float, stub_per_s: float) -> list[str]:
    """Why the generator may not have kept to the schedule; empty where it could."""
    if offered_per_s <= MAX_SHARE_OF_STUB * stub_per_s:
        return []
    return [
        f"{point}: {offered_per_s:.0f}/s offered, more than half of the {stub_per_s:.0f}/s that the"
        " generator reaches against a stub; quote the result only as 'at least'"
    ]
