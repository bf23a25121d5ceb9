"""The lane of faults, folded from the events of those who inject and heal them."""

from __future__ import annotations

from typing import Any

import pytest
from task_lab.live.faults import FaultLane, FaultState
from task_lab.live.lane import nearest

KILL = {"kind": "kill", "target": "worker-1"}
CUT = {"kind": "network_cut", "target": "broker"}


def lane_of(*events: tuple[float, str, dict[str, Any]]) -> FaultLane:
    lane = FaultLane()
    for at, name, fields in events:
        lane.fold({"at": at, "event": name, **fields})
    return lane


def planned(*faults: dict[str, Any]) -> tuple[float, str, dict[str, Any]]:
    return 0.0, "fault_planned", {"faults": list(faults)}


@pytest.mark.parametrize(
    ("name", "fields", "state", "is_active"),
    [
        ("fault_started", {}, FaultState.STRIKING, True),
        ("fault_injected", {"bit": True}, FaultState.BITING, True),
        ("fault_injected", {"bit": False}, FaultState.MISSED, True),
        ("heal_started", {}, FaultState.HEALING, True),
        ("heal_failed", {"reason": "it does not start"}, FaultState.STUCK, True),
        ("fault_healed", {}, FaultState.HEALED, False),
        ("fault_skipped", {"reason": "no such worker"}, FaultState.SKIPPED, False),
    ],
)
def test_each_step_is_a_state(
    name: str, fields: dict[str, Any], state: FaultState, is_active: bool
) -> None:
    lane = lane_of(planned(KILL), (5.0, name, {**KILL, **fields}))
    (fault,) = lane.faults
    assert (fault.state, fault.is_active) == (state, is_active)


def test_two_strikes_on_one_target_are_told_apart_by_their_numbers() -> None:
    lane = lane_of(
        planned({**KILL, "number": 1}, {**KILL, "number": 2}),
        (1.0, "fault_injected", {**KILL, "number": 2, "bit": True}),
    )
    assert [fault.state for fault in lane.faults] == [FaultState.PLANNED, FaultState.BITING]


def test_without_numbers_the_first_that_is_not_over_is_meant() -> None:
    lane = lane_of(
        planned(KILL, CUT, KILL),
        (1.0, "fault_injected", {**KILL, "bit": True}),
        (2.0, "fault_healed", KILL),
        (3.0, "fault_injected", {**KILL, "bit": True}),
    )
    states = [fault.state for fault in lane.faults]
    assert states == [FaultState.HEALED, FaultState.PLANNED, FaultState.BITING]


def test_a_fault_nobody_planned_is_shown_all_the_same() -> None:
    lane = lane_of((1.0, "fault_started", KILL), (4.0, "fault_healed", KILL))
    (fault,) = lane.faults
    assert (fault.name, fault.state) == ("kill of worker-1", FaultState.HEALED)
    assert (fault.struck_at, fault.over_at) == (1.0, 4.0)


def test_times_of_a_plan_count_from_the_start_of_the_load() -> None:
    lane = lane_of(planned({**CUT, "at_s": 10.0, "for_s": 4.0}))
    (fault,) = lane.faults
    assert lane.due_in_s(fault, 103.0) is None
    lane.fold({"at": 95.0, "event": "phase_started", "kind": "warmup"})
    lane.fold({"at": 100.0, "event": "phase_started", "kind": "load"})
    assert lane.due_in_s(fault, 103.0) == 7.0
    assert lane.due_in_s(fault, 200.0) == 0.0


def test_where_there_is_no_room_the_active_ones_are_shown_then_the_next() -> None:
    lane = lane_of(
        planned(*({**KILL, "number": n} for n in range(1, 7))),
        *((1.0, "fault_healed", {**KILL, "number": n}) for n in (1, 2)),
        (2.0, "fault_injected", {**KILL, "number": 4, "bit": True}),
    )
    assert [fault.number for fault in nearest(lane.faults, 3)] == [3, 4]
    assert [fault.number for fault in nearest(lane.faults, 1)] == [4]
    assert len(nearest(lane.faults, 6)) == 6
