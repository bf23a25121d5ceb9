"""A run that was to be disturbed and was not, or not as planned, proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from task_lab.check.verdict import Verdict
from task_lab.faults.planned import read_plan
from task_lab.faults.proof import check_faults_bit

Events = list[dict[str, Any]]


def events_of(text: str, load_s: float = 60) -> Events:
    """What a run notes in which every fault strikes, bites and is healed."""
    strikes = read_plan(text).strikes(load_s)
    events: Events = [{"event": "fault_planned", "faults": [asdict(one) for one in strikes]}]
    for one in strikes:
        about = {"number": one.number, "kind": one.kind.value, "target": one.target}
        events += [
            {"event": "fault_started", **about},
            {"event": "fault_injected", **about, "bit": True},
            {"event": "heal_started", **about},
            {"event": "fault_healed", **about},
        ]
    return [*events, {"event": "healed"}]


def test_f5_every_planned_fault_is_counted_by_kind_and_target() -> None:
    check = check_faults_bit(events_of("kill worker-1 at 5 every 10; broker_restart at 20"))
    assert check.verdict is Verdict.PASS
    assert check.expected == {"kill worker-1": 6, "broker_restart broker": 1}


def test_a_plan_without_faults_passes_and_says_so() -> None:
    check = check_faults_bit(events_of("none"))
    assert (check.verdict, check.detail) == (Verdict.PASS, "no fault was planned")


def without(name: str) -> Callable[[Events], Events]:
    return lambda events: [one for one in events if (one["event"], one.get("number")) != (name, 2)]


def toothless(events: Events) -> Events:
    return [{**one, "bit": False} if one.get("number") == 2 else one for one in events]


def skipped(events: Events) -> Events:
    kept = [one for one in events if one.get("number") != 2]
    about = {"number": 2, "kind": "freeze", "target": "api"}
    return [*kept, {"event": "fault_skipped", **about, "reason": "api was ended already"}]


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        (without("fault_injected"), "was begun, not injected"),
        (without("fault_healed"), "was not healed"),
        (toothless, "did not reach its target"),
        (skipped, "was skipped: api was ended already"),
        (lambda events: [one for one in events if one.get("number") != 2], "never struck"),
    ],
)
def test_f5_fewer_than_planned_is_unknown_and_says_which(
    sabotage: Callable[[Events], Events], told: str
) -> None:
    check = check_faults_bit(sabotage(events_of("kill api at 5; freeze api at 20")))
    assert check.verdict is Verdict.UNKNOWN
    assert f"1 of 2 planned faults prove nothing: freeze of api at 20 s {told}" in check.detail
    assert check.observed == {"kill api": 1}


@pytest.mark.parametrize("plans", [0, 2])
def test_a_run_that_notes_no_plan_or_two_is_unknown(plans: int) -> None:
    events = events_of("kill api at 5")
    check = check_faults_bit([*[events[0]] * plans, *events[1:]])
    assert check.verdict is Verdict.UNKNOWN
