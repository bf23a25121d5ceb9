"""Measurements as a bench writes them, for tests of what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from task_lab.bench.measurements import Checked, Disturbed, Line, Measurement, Problem
from task_lab.bench.rows import TARGETS, Group

GROUPS = {target.name: target.group for target in TARGETS}


def series(name: str, *values: float, group: Group = Group.DRAIN) -> list[Line]:
    """One measurement a cycle."""
    return [
        Measurement(name=name, group=group, at=0.0, cycle=cycle, value=value)
        for cycle, value in enumerate(values, 1)
    ]


def sample(name: str, values: Sequence[float], group: Group = Group.LATENCY) -> list[Line]:
    """One measurement that is a sample."""
    return [Measurement(name=name, group=group, at=0.0, values=list(values))]


def cpu(name: str, *parts: Mapping[str, float], group: Group = Group.DRAIN) -> list[Line]:
    """CPU by part, one measurement a cycle."""
    return [
        Measurement(
            name=name, group=group, at=0.0, cycle=cycle, value=sum(one.values()), parts=dict(one)
        )
        for cycle, one in enumerate(parts, 1)
    ]


def problem(group: Group, reason: str, *, is_wrong: bool = False) -> Line:
    return Problem(group=group, at=0.0, reason=reason, is_wrong=is_wrong)


def whole() -> list[Line]:
    """A bench that measured everything, and in which every row meets its target."""
    parts = {"worker": 0.05, "postgres": 0.04, "rabbitmq": 0.02}
    return [
        *series("drain_floor_per_s", 20_000, 20_500, 19_500),
        *series("drain_1w_per_s", 16_000, 16_500, 15_500),
        *series("drain_2w_per_s", 19_000, 20_000, 18_000),
        *series("drain_3w_per_s", 14_000, 15_000, 14_500),
        *series("drain_pgqueuer_per_s", 12_000, 12_500, 11_500, group=Group.PEER),
        *series("drain_1w_classic_per_s", 17_000, 17_500, 16_500),
        *cpu("cpu_drain_ms_per_task", parts, parts, parts),
        *series("sleep_1w_per_s", 490, 492, group=Group.SLEEP),
        *series("sleep_3w_per_s", 1_450, 1_452, group=Group.SLEEP),
        *series("sleep_6w_per_s", 2_850, 2_852, group=Group.SLEEP),
        *series("empty_route_per_s", 9_000, 9_100, group=Group.HTTP),
        *series("single_posts_per_s", 6_000, 6_100, group=Group.HTTP),
        *series("bulk_submit_per_s", 24_000, 25_000, group=Group.BULK),
        *series("end_to_end_per_s", 2_400, 2_500, 2_450, group=Group.END_TO_END),
        *cpu(
            "cpu_end_to_end_ms_per_task",
            {"generator": 0.3, "api": 0.2, "worker": 0.1},
            group=Group.END_TO_END,
        ),
        *sample("idle_latency_ms", [3.0 + index / 200 for index in range(1_000)]),
        *sample("open_loop_queue_wait_ms", [1.0 + index / 200 for index in range(1_000)]),
        *sample("open_loop_send_lag_ms", [0.1] * 100),
        *series("million_rows_full_per_s", 15_000, 15_100, 14_900, group=Group.SIZE),
        *series("million_rows_empty_per_s", 15_200, 15_300, 15_100, group=Group.SIZE),
        *series("buffers_per_task_full", 10.1, group=Group.SIZE),
        *series("buffers_per_task_empty", 10.0, group=Group.SIZE),
        *series("backlog_worker_before_mb", 60, group=Group.BACKLOG),
        *series("backlog_worker_beside_mb", 61, group=Group.BACKLOG),
        *series("backlog_api_before_mb", 70, group=Group.BACKLOG),
        *series("backlog_api_beside_mb", 78, group=Group.BACKLOG),
        Checked(group=Group.DRAIN, what="drain", at=0.0, tasks=60_000),
        Disturbed(stack="drain", cores=0.021),
    ]
