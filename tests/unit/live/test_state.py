"""A run's state, folded from what it writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.live.events import numbers_of
from task_lab.live.feed import News, Sent
from task_lab.live.state import RunState

from tests.unit.live.story import LOAD_AT, START, state_at

ROUND = {"kind": "round", "workload": "sum", "workers": 1, "tasks": 100}


def fold(*events: tuple[float, str, dict[str, Any]]) -> RunState:
    state = RunState()
    for at, name, fields in events:
        state.fold({"at": at, "event": name, **fields})
    return state


def test_the_running_phase_is_known_with_its_plan() -> None:
    running = state_at(42).running
    assert running is not None
    assert (running.plan.kind, running.plan.workload, running.plan.workers) == ("load", "effect", 3)
    assert (running.plan.offered_per_s, running.plan.duration_s) == (400.0, 60.0)
    assert running.offered == pytest.approx((42 - LOAD_AT) * 400, rel=0.02)


def test_phases_are_counted_against_the_plan() -> None:
    assert (state_at(0.2).done, state_at(0.2).planned) == (0, None)
    assert (state_at(8).done, state_at(8).planned) == (0, 4)
    assert (state_at(42).done, state_at(42).planned) == (1, 4)


def test_phases_that_are_announced_later_join_the_plan() -> None:
    phases = [{**ROUND, "name": name} for name in "abc"]
    state = fold(
        (1, "plan", {"phases": phases[:1]}),
        (2, "phase_started", {**ROUND, "phase": "a"}),
        (3, "plan", {"phases": phases[1:]}),
        (3, "plan", {"phases": phases}),
    )
    assert state.planned == 3
    assert [plan.name for plan in state.waiting()] == ["b", "c"]


def test_probes_that_a_search_did_not_need_are_no_longer_expected() -> None:
    probes = [{**ROUND, "kind": "probe", "name": name} for name in "ab"]
    step = {**ROUND, "kind": "step", "name": "c"}
    state = fold(
        (1, "plan", {"phases": [*probes, step]}),
        (2, "phase_started", {**ROUND, "phase": "a"}),
        (3, "searched", {"rate_per_s": 480.0}),
    )
    assert [plan.name for plan in state.waiting()] == ["c"]


def test_phases_passed_over_are_not_waited_for() -> None:
    phases = [{**ROUND, "name": name} for name in "abcd"]
    state = fold(
        (1, "plan", {"phases": phases}),
        (2, "phase_started", {**ROUND, "phase": "c"}),
    )
    assert [plan.name for plan in state.waiting()] == ["d"]
    assert state.planned == 2


def test_submissions_are_counted_by_outcome() -> None:
    state = state_at(60)
    assert state.offered == sum(state.outcomes.values())
    assert state.outcomes["unknown"] > 0
    assert state.outcomes["rejected"] == 0


def test_the_rate_is_that_of_the_last_second() -> None:
    assert state_at(35).submit_per_s(START + 35) == pytest.approx(400, abs=10)
    assert state_at(35).submit_per_s(START + 40) == 0


def test_the_backlog_is_what_the_broker_said_lately() -> None:
    state = state_at(30)
    assert state.backlog(START + 30) == pytest.approx(480, abs=40)
    assert state.backlog(START + 40) is None  # nobody said anything for ten seconds
    assert state_at(40.5).backlog(START + 40.5) is None  # the broker is away


def test_a_phase_that_drained_leaves_no_backlog() -> None:
    assert state_at(76.5).backlog(START + 76.5) == 0


def test_faults_go_from_planned_over_biting_to_healed() -> None:
    def told(moment_s: float) -> list[str]:
        return [str(fault.state) for fault in state_at(moment_s).lane.faults]

    assert told(20) == ["planned"] * 3
    assert told(26) == ["biting", "planned", "planned"]
    assert told(29) == ["healing", "planned", "planned"]
    assert told(42) == ["healed", "biting", "planned"]
    assert told(70) == ["healed"] * 3


def test_the_end_comes_nearer_and_is_told_only_as_long_as_there_is_load() -> None:
    told = [state_at(moment_s).eta(START + moment_s) for moment_s in (12, 20, 40, 60)]
    left = [eta.seconds for eta in told if eta is not None]
    assert len(left) == 4
    assert left == sorted(left, reverse=True)
    assert all(eta.method for eta in told if eta)
    assert state_at(0.2).eta(START + 0.2) is None
    assert state_at(79).eta(START + 79) is None


def test_the_stage_is_told_in_words() -> None:
    stages = {moment_s: state_at(moment_s).stage_text() for moment_s in (0, 7, 30, 82, 90)}
    assert stages == {
        0: "starting the stack",
        7: "measuring the floor",
        30: "effect, 3 workers, load at 400/s",
        82: "stopping the stack",
        90: "writing the report",
    }


def test_an_interrupted_run_says_what_is_healed_and_stopped() -> None:
    state = state_at(42)
    state.interrupted_at = START + 42
    assert state.stage_text() == ("interrupted: healing database_restart, then stopping the stack")
    assert state.eta(START + 42) is None
    early = state_at(2)
    early.interrupted_at = START + 2
    assert early.stage_text() == "interrupted: stopping what was started"


@pytest.mark.parametrize(
    ("ended", "reason", "told"),
    [
        ("completed", "", "finished"),
        ("interrupted", "interrupted", "interrupted"),
        ("crashed", "KernelDied: cell 4", "came to no end: KernelDied: cell 4"),
        ("a new way", "", "over"),
    ],
)
def test_the_end_of_a_run_is_told_in_words(ended: str, reason: str, told: str) -> None:
    state = state_at(42)
    state.end()
    assert state.stage_text() == "effect, 3 workers, load at 400/s"
    state.know({"ended": ended, "ended_at": "2025-10-09T08:54:44Z", "reason": reason})
    state.end()
    assert state.stage_text() == told


def test_time_stands_still_when_the_run_is_over() -> None:
    state = state_at(90)
    state.know({"started_at": "2025-10-09T08:53:20Z", "ended_at": "2025-10-09T08:54:44Z"})
    assert state.elapsed_s(START + 5000) == 84
    assert state.moment(START + 5000) == START + 84


@pytest.mark.parametrize(
    "event",
    [
        {"event": "something_new", "anything": [1, {"deep": None}]},
        {"event": "phase_started"},
        {"event": "phase_ended", "phase": "never begun"},
        {"event": "plan"},
        {"event": "fault_planned"},
        {"event": "fault_injected"},
        {"event": "searched"},
        {"event": "checked"},
    ],
)
def test_events_that_are_new_or_say_less_than_they_used_to_do_no_harm(
    event: dict[str, Any],
) -> None:
    state = state_at(42)
    state.fold({"at": START + 42, **event})
    assert state.elapsed_s(START + 42) == 42
    assert numbers_of(state, START + 42)["offered"] == 12_197


@given(
    st.lists(
        st.builds(
            Sent, st.sampled_from(["accepted", "unknown", "rejected", "new"]), st.floats(0, 9)
        )
    )
)
def test_every_submission_counts_once_however_it_came(sent: list[Sent]) -> None:
    whole, parts = RunState(), RunState()
    whole.take(News(sent=sent))
    for one in sent:
        parts.take(News(sent=[one]))
    assert whole.offered == parts.offered == len(sent)
    assert whole.accepted.curve() == parts.accepted.curve()
