"""Latency: of a task that finds the platform idle, and of tasks that arrive at half its pace."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

from task_lab.bench.bench import Bench
from task_lab.bench.plan import SUM
from task_lab.bench.rows import Group
from task_lab.bench.sitting import Sitting, accepted
from task_lab.bench.submits import run_rounds
from task_lab.errors import InvalidRun
from task_lab.history import read_history
from task_lab.load.schedule import poisson_schedule
from task_lab.stats import median

# Ten tasks beyond the 99th percentile, or it is no more than the slowest that was seen.
_IDLE_TASKS = 1_000
# Uneven, so that no timer of the platform's can be hit, or missed, every time. Far more than a task
# takes: the next one finds everything at rest.
_IDLE_GAP_S = (0.010, 0.018)
_OPEN_LOOP_S = 13.0
_IN_FLIGHT = 512
# Shares of the end to end rate that are offered in turn, until the platform keeps up with one. A
# closed loop waits for the platform and so never asks too much; arrivals do not wait.
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_PROBE_S = 4.0
# A platform that keeps up is done with the last arrival by then; one that does not falls behind by
# more the longer it goes on.
_MOST_BEHIND_S = 0.25
_SHARE_OF_SUSTAINED = 0.5
# Arrivals that are late are fewer at a time than was asked for.
_LEAST_KEPT = 0.95
_ROUNDS_OF_ITS_OWN = 3
_SEED = 1


def measure_latency(bench: Bench) -> None:
    """Both latencies, with one worker."""
    with bench.sitting("latency") as sitting:
        if not bench.measured.values("end_to_end_per_s"):
            run_rounds(bench, sitting, Group.LATENCY, _ROUNDS_OF_ITS_OWN)
        _idle(bench, sitting)
        end_to_end_per_s = median(bench.measured.values("end_to_end_per_s"))
        _open_loop(bench, sitting, _highest_sustained(bench, sitting, end_to_end_per_s))


def idle_schedule(tasks: int, seed: int) -> list[float]:
    """Seconds after the start at which each task is due, with uneven gaps between them."""
    rng = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    return list(accumulate(rng.uniform(*_IDLE_GAP_S) for _ in range(tasks)))


def _idle(bench: Bench, sitting: Sitting) -> None:
    tasks = bench.plan.tasks(_IDLE_TASKS)
    history = bench.scratch / "idle.jsonl"
    report = sitting.offer(
        tasks, in_flight=1, schedule_s=idle_schedule(tasks, _SEED), history=history
    )
    sent = accepted(report, tasks)
    sitting.ledger.wait_finished(sent, SUM)
    finished = sitting.ledger.times(sent)
    latency_ms = [
        (finished[task_id].finished_at - sent_at) * 1e3 for task_id, sent_at in _sent(history)
    ]
    bench.measured.add(Group.LATENCY, "idle_latency_ms", values=_rounded(latency_ms))
    bench.measured.checked(Group.LATENCY, "idle platform", tasks)


def is_sustained(*, last_due_at: float, last_finished_at: float) -> bool:
    """Whether nothing had piled up when the arrivals ended. Unix seconds."""
    return last_finished_at - last_due_at <= _MOST_BEHIND_S


def _highest_sustained(bench: Bench, sitting: Sitting, end_to_end_per_s: float) -> float:
    """The highest rate of random arrivals that the platform keeps up with."""
    for share in _SHARES:
        per_s = end_to_end_per_s * share
        tasks = round(per_s * bench.plan.seconds(_PROBE_S))
        schedule_s = poisson_schedule(tasks, per_s, _SEED)
        report = sitting.offer(tasks, in_flight=_IN_FLIGHT, schedule_s=schedule_s)
        sent = accepted(report, tasks)
        sitting.ledger.wait_finished(sent, SUM)
        bench.measured.checked(Group.LATENCY, f"arrivals at {share:.0%} of the pace", tasks)
        finished_at = max(task.finished_at for task in sitting.ledger.times(sent).values())
        last_due_at = report.first_scheduled_at - schedule_s[0] + schedule_s[-1]
        if is_sustained(last_due_at=last_due_at, last_finished_at=finished_at):
            bench.measured.add(Group.LATENCY, "open_loop_sustained_per_s", per_s)
            return per_s
    raise InvalidRun(f"not even {_SHARES[-1]:.0%} of the end to end rate could arrive at random")


def _open_loop(bench: Bench, sitting: Sitting, sustained_per_s: float) -> None:
    per_s = sustained_per_s * _SHARE_OF_SUSTAINED
    tasks = round(per_s * bench.plan.seconds(_OPEN_LOOP_S))
    report = sitting.offer(
        tasks, in_flight=_IN_FLIGHT, schedule_s=poisson_schedule(tasks, per_s, _SEED)
    )
    sent = accepted(report, tasks)
    sitting.ledger.wait_finished(sent, SUM)
    sent_per_s = tasks / (report.last_answered_at - report.first_sent_at)
    if sent_per_s < per_s * _LEAST_KEPT:
        raise InvalidRun(
            f"the generator was to send {per_s:,.0f} tasks/s and sent {sent_per_s:,.0f}"
        )
    waits_ms = [
        (task.started_at - task.due_at) * 1e3 for task in sitting.ledger.times(sent).values()
    ]
    bench.measured.add(Group.LATENCY, "open_loop_offered_per_s", per_s)
    bench.measured.add(Group.LATENCY, "open_loop_queue_wait_ms", values=_rounded(waits_ms))
    send_lag_ms = [lag_s * 1e3 for lag_s in report.send_lag_s]
    bench.measured.add(Group.LATENCY, "open_loop_send_lag_ms", values=_rounded(send_lag_ms))
    bench.measured.checked(Group.LATENCY, "arrivals at half pace", tasks)


def _sent(history: Path) -> list[tuple[str, float]]:
    """Id of each accepted task, and when it was sent by this machine's clock."""
    return [(one.task_id, one.sent_at) for one in read_history(history) if one.task_id]


def _rounded(values_ms: list[float]) -> list[float]:
    """To the microsecond, which is finer than any of the clocks' agreement."""
    return [round(value, 3) for value in values_ms]
