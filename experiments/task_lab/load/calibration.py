"""Was the generator the limit? What it does against a stub, and how its own testimony is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from task_lab.load.processes import Generator, Stub
from task_lab.load.wire import Load, Testimony
from task_lab.stats import percentile

MAX_CPU_SHARE = 0.85
MAX_LOOP_LAG_P99_S = 0.050
# Open loop: the generator must be able to offer at least twice what it is asked to.
MAX_SHARE_OF_STUB = 0.5


def calibrate(
    generator: Generator, task: str, *, tasks: int, in_flight: int, scratch: Path
) -> Testimony:
    """What the generator says about a closed loop against a server that answers at once.

    scratch: an existing folder for the calibration's own history and log; no part of the run.
    """
    with Stub(scratch / "stub.log") as stub:
        load = Load(
            phase="calibration",
            api_url=stub.url,
            task=task,
            tasks=tasks,
            in_flight=in_flight,
            history=str(scratch / "calibration.jsonl"),
        )
        generator.offer(load)  # connections and code paths are warm in a measured phase too
        return generator.offer(load)


def judge_closed_loop(point: str, testimonies: Sequence[Testimony]) -> list[str]:
    """Why the generator may have been the limit of these rounds; empty where it was not.

    Rounds of a point are pooled: one lasts about a second, too short for a percentile of its own.
    """
    reasons = []
    duration_s = sum(t.duration_s for t in testimonies)
    cpu_share = sum(t.cpu_s for t in testimonies) / max(duration_s, 1e-9)
    if cpu_share > MAX_CPU_SHARE:
        reasons.append(
            f"{point}: the generator used {cpu_share:.0%} of a core, {MAX_CPU_SHARE:.0%} allowed"
        )
    lag_s = percentile([lag for t in testimonies for lag in t.loop_lag_s], 0.99)  # NaN of none
    if lag_s > MAX_LOOP_LAG_P99_S:
        reasons.append(
            f"{point}: the generator's loop lag p99 was {lag_s * 1e3:.0f} ms,"
            f" {MAX_LOOP_LAG_P99_S * 1e3:.0f} ms allowed"
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
