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
# Latency counts from the schedule, so whatever the generator is late is charged to the platform;
# this is the least that an objective on latency here allows as a whole.
MAX_SEND_LAG_P99_S = 0.100
# A loop that stands still wakes up late once, however long it stood: no percentile shows it. Only
# what is no hiccup counts, and a rate that is off by this share is the least that matters.
STANDSTILL_S = 0.5
MAX_STANDSTILL_SHARE = 0.05
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
    reasons = judge_cpu_share(point, [(one.cpu_share, one.duration_s) for one in reports])
    lag_s = [lag for report in reports for lag in report.loop_lag_s]
    if _is_p99_above(MAX_LOOP_LAG_P99_S, lag_s):
        late = sum(lag > MAX_LOOP_LAG_P99_S for lag in lag_s)
        reasons.append(
            f"{point}: the generator's loop woke up over {MAX_LOOP_LAG_P99_S * 1e3:.0f} ms late"
            f" {late} times of {len(lag_s)}, p99 {percentile(lag_s, 0.99) * 1e3:.0f} ms"
        )
    stood_s = sum(lag for lag in lag_s if lag > STANDSTILL_S)
    duration_s = sum(report.duration_s for report in reports)
    if stood_s > MAX_STANDSTILL_SHARE * duration_s:
        reasons.append(
            f"{point}: the generator stood still for {stood_s:.1f} s of {duration_s:.1f} s,"
            f" {MAX_STANDSTILL_SHARE:.0%} allowed"
        )
    return reasons


def judge_cpu_share(point: str, rounds: Sequence[tuple[float, float]]) -> list[str]:
    """Whether the generator had processor time to spare. rounds: share of a core, seconds."""
    duration_s = sum(seconds for _, seconds in rounds)
    cpu_share = sum(share * seconds for share, seconds in rounds) / max(duration_s, 1e-9)
    if cpu_share <= MAX_CPU_SHARE:
        return []
    return [f"{point}: the generator used {cpu_share:.0%} of a core, {MAX_CPU_SHARE:.0%} allowed"]


def judge_send_lag(point: str, report: SenderReport) -> list[str]:
    """Whether an open loop kept to its schedule, as far as that was its own to do."""
    lag_s = report.own_lag_s
    if not _is_p99_above(MAX_SEND_LAG_P99_S, lag_s):
        return []
    late = sum(lag > MAX_SEND_LAG_P99_S for lag in lag_s)
    return [
        f"{point}: {late} of {len(lag_s)} requests left over {MAX_SEND_LAG_P99_S * 1e3:.0f} ms"
        f" after they were due, p99 {percentile(lag_s, 0.99) * 1e3:.0f} ms: what was offered is not"
        " the schedule"
    ]


def _is_p99_above(limit_s: float, lag_s: Sequence[float]) -> bool:
    """Whether more than chance says that the 99th percentile lies above the limit."""
    late = sum(lag > limit_s for lag in lag_s)
    return bool(late and binom.sf(late - 1, len(lag_s), 0.01) < _DOUBT)


def judge_open_loop(point: str, offered_per_s: float, stub_per_s: float) -> list[str]:
    """Why the generator may not have kept to the schedule; empty where it could."""
    if offered_per_s <= MAX_SHARE_OF_STUB * stub_per_s:
        return []
    return [
        f"{point}: {offered_per_s:.0f}/s offered, more than half of the {stub_per_s:.0f}/s that the"
        " generator reaches against a stub; quote the result only as 'at least'"
    ]
