"""Submissions: single ones to the API alone, bulk ones up to the broker, and whole tasks.

What was accepted without a worker is worked off afterwards, and checked: a submission counts only
if its task can succeed.
"""

from __future__ import annotations

from task_lab.bench.bench import Bench
from task_lab.bench.http_load import EmptyRoute, single_posts_per_s
from task_lab.bench.measurements import PromisedLess
from task_lab.bench.plan import SUM
from task_lab.bench.rows import Group
from task_lab.bench.sitting import (
    BATCH_SIZE,
    BATCHES_IN_FLIGHT,
    WARMUP_TASKS,
    Sitting,
    accepted,
    spent,
)

_POSTS_S = 4.0
_WARMUP_S = 1.0
_BULK_TASKS = 40_000
_ROUND_TASKS = 2_000
_ROUNDS = 7
_WARMUP_ROUNDS = 2
# The load's own rate leaves out requests still under way at its end, never more than this share.
_COUNTED_SHARE = 0.95


def measure_single_posts(bench: Bench) -> None:
    """The API and an empty route under the same load, in turn."""
    seconds = bench.plan.seconds(_POSTS_S)
    with bench.sitting("http", workers=0) as sitting, EmptyRoute(bench.scratch) as route:
        loaded = {
            "empty_route_per_s": route.url,
            "single_posts_per_s": sitting.endpoints.api_url,
        }
        for url in loaded.values():  # warm before anything counts
            single_posts_per_s(url, seconds=_WARMUP_S, scratch=bench.scratch)
        least = 0.0
        for cycle in range(1, bench.plan.cycles + 1):
            for name, url in loaded.items():
                per_s = single_posts_per_s(url, seconds=seconds, scratch=bench.scratch)
                bench.measured.add(Group.HTTP, name, per_s, cycle=cycle)
            least += per_s * seconds * _COUNTED_SHARE
        _work_off(bench, sitting, Group.HTTP, least=least)


def measure_bulk(bench: Bench) -> None:
    """Bulk submissions without a worker: until all is committed and with the broker."""
    tasks = bench.plan.tasks(_BULK_TASKS, least=BATCH_SIZE * BATCHES_IN_FLIGHT)
    with bench.sitting("bulk", workers=0) as sitting:
        sitting.submit_bulk(WARMUP_TASKS)
        for cycle in range(1, bench.plan.cycles + 1):
            report = sitting.offer(tasks, batch_size=BATCH_SIZE, in_flight=BATCHES_IN_FLIGHT)
            published_at = sitting.ledger.wait_announced(tasks)
            accepted(report, tasks)
            per_s = tasks / (published_at - report.first_sent_at)
            bench.measured.add(Group.BULK, "bulk_submit_per_s", per_s, cycle=cycle)
        _work_off(bench, sitting, Group.BULK, least=tasks * bench.plan.cycles + WARMUP_TASKS)


def measure_end_to_end(bench: Bench) -> None:
    """Rounds of single submissions, each from first send to last result."""
    with bench.sitting("end-to-end") as sitting:
        run_rounds(bench, sitting, Group.END_TO_END, _ROUNDS)


def run_rounds(bench: Bench, sitting: Sitting, group: Group, rounds: int) -> None:
    """Keep the rate and the CPU of so many rounds, after some that are not kept."""
    tasks = bench.plan.tasks(_ROUND_TASKS)
    for _ in range(_WARMUP_ROUNDS):
        sitting.ledger.wait_finished(accepted(sitting.offer(tasks), tasks), SUM)
    for cycle in range(1, rounds + 1):
        meter = sitting.cpu_meter()
        before = meter.read()
        report = sitting.offer(tasks)
        ended_at = sitting.ledger.wait_finished(accepted(report, tasks), SUM)
        cpu_s = spent(before, meter.read())
        per_s = tasks / (ended_at - report.first_scheduled_at)
        bench.measured.add(group, "end_to_end_per_s", per_s, cycle=cycle)
        bench.keep_cpu(group, "cpu_end_to_end_ms_per_task", cpu_s, tasks=tasks, cycle=cycle)
        bench.measured.checked(group, "round", tasks)


def _work_off(bench: Bench, sitting: Sitting, group: Group, *, least: float) -> None:
    """Let a worker finish everything that was accepted, and check it."""
    everything = sitting.ledger.everything()
    if everything.tasks < least:
        raise PromisedLess(
            f"at least {least:,.0f} tasks were accepted, {everything.tasks:,} are in the ledger"
        )
    sitting.runtime.scale(1)
    sitting.ledger.wait_finished(everything, SUM)
    bench.measured.checked(group, "submissions", everything.tasks)
