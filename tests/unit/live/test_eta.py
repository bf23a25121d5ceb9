"""When a run's load will end: from what is planned and from the pace of what is over."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.live.eta import Finished, PhasePlan, Running, remaining, takes

KINDS = st.sampled_from(["warmup", "round", "drain", "load", "step"])
PLANS = st.builds(
    PhasePlan,
    name=st.just("phase"),
    kind=KINDS,
    workload=st.sampled_from(["sum", "sleep"]),
    workers=st.integers(1, 3),
    tasks=st.integers(0, 50_000),
    duration_s=st.none() | st.floats(0.1, 600),
)
TOOK = st.floats(0, 1e4)
FINISHED = st.lists(st.builds(Finished, PLANS, TOOK), max_size=6)
RUNNING = st.builds(Running, PLANS, elapsed_s=TOOK, offered=st.integers(0, 60_000))


def plan(kind: str = "round", tasks: int = 1000, **fields: object) -> PhasePlan:
    return dataclasses.replace(
        PhasePlan("p", kind, workload="sum", workers=1, tasks=tasks),
        **fields,  # type: ignore[arg-type]
    )


def test_nothing_is_said_before_anything_is_known() -> None:
    assert remaining([plan()], []) is None
    assert remaining([plan()], [], Running(plan(), elapsed_s=3, offered=0)) is None


def test_a_load_with_a_schedule_is_known_before_it_began() -> None:
    eta = remaining([plan("load", duration_s=60.0)], [])
    assert eta is not None
    assert (eta.seconds, eta.method) == (60.0, "the durations planned")


def test_one_phase_nobody_can_tell_of_makes_the_whole_unknown() -> None:
    assert remaining([plan("load", duration_s=60.0), plan("drain")], []) is None


def test_phases_go_by_the_seconds_a_task_took_in_those_most_like_them() -> None:
    finished = [
        Finished(plan("round", 1000, workers=1), 2.0),
        Finished(plan("round", 1000, workers=3), 1.0),
        Finished(plan("drain", 1000, workers=1), 0.5),
    ]
    assert takes(plan("round", 2000, workers=1), finished) == 4.0
    assert takes(plan("drain", 4000, workers=3), finished) == 2.0  # of another worker count
    assert takes(plan("probe", 3000, workload="sleep"), finished) == pytest.approx(3.5)


def test_a_kind_that_took_longer_than_planned_is_expected_to_do_so_again() -> None:
    finished = [Finished(plan("step", duration_s=10.0), 15.0)]
    assert takes(plan("step", duration_s=20.0), finished) == 30.0


def test_the_first_phase_tells_its_own_pace_once_a_tenth_is_offered() -> None:
    running = Running(plan("round", 1000), elapsed_s=2.0, offered=200)
    eta = remaining([plan("round", 1000)], [], running)
    assert eta is not None
    assert eta.seconds == 18.0
    assert eta.method == "the pace of the running phase"


def test_the_time_between_phases_is_counted() -> None:
    finished = [Finished(plan(), 2.0)]
    eta = remaining([plan(), plan()], finished, between_s=0.5)
    assert eta is not None
    assert (eta.seconds, eta.method) == (5.0, "the pace of 1 finished phase")


@given(st.lists(PLANS, max_size=6), FINISHED, st.none() | RUNNING, st.floats(-10, 100))
def test_it_is_never_negative(
    waiting: list[PhasePlan], finished: list[Finished], running: Running | None, between_s: float
) -> None:
    eta = remaining(waiting, finished, running, between_s=between_s)
    assert eta is None or eta.seconds >= 0


@given(st.lists(PLANS, max_size=6), FINISHED.filter(bool), RUNNING, st.data())
def test_more_work_done_never_makes_it_later(
    waiting: list[PhasePlan], finished: list[Finished], running: Running, data: st.DataObject
) -> None:
    before = remaining(waiting, finished, running)
    more = data.draw(st.integers(running.offered, 70_000))
    longer_s = data.draw(st.floats(running.elapsed_s, 2e4))
    further = dataclasses.replace(running, offered=more, elapsed_s=longer_s)
    fewer = waiting[data.draw(st.integers(0, len(waiting))) :]
    after = remaining(fewer, finished, further)
    if before is not None:
        assert after is not None
        assert after.seconds <= before.seconds + 1e-6


@given(st.lists(PLANS, min_size=2, max_size=8), st.floats(1e-4, 0.1))
def test_at_an_even_pace_each_finished_phase_brings_the_end_nearer(
    phases: list[PhasePlan], task_s: float
) -> None:
    even = [dataclasses.replace(one, duration_s=None, tasks=one.tasks + 1) for one in phases]
    finished = [Finished(one, one.tasks * task_s) for one in even]
    told = [remaining(even[n:], finished[:n]) for n in range(1, len(even) + 1)]
    left = [eta.seconds for eta in told if eta is not None]
    assert len(left) == len(told)
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
