"""Fault plans as people write them: read strictly, put in order, refused before anything runs."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.errors import UsageError
from task_lab.faults.planned import FaultPlan, Planned, PlannedFault, Strike, read_plan

SIX = (
    "kill worker-1 at 5 for 2; freeze worker-2 at 12; broker_restart at 20; "
    "database_restart at 35; kill relay at 45; network_cut broker at 55 for 4"
)
PROCESSES = ["worker-1", "worker-2", "worker-12", "relay", "api"]
TARGETS = {
    Planned.KILL: PROCESSES,
    Planned.FREEZE: PROCESSES,
    Planned.BROKER_RESTART: ["broker"],
    Planned.DATABASE_RESTART: ["database"],
    Planned.DATABASE_CRASH: ["database"],
    Planned.NETWORK_CUT: ["broker", "database"],
}


def moments(least_ms: int = 0) -> st.SearchStrategy[float]:
    return st.integers(least_ms, 10_000_000).map(lambda ms: ms / 1000)


@st.composite
def faults(draw: st.DrawFn) -> PlannedFault:
    kind = draw(st.sampled_from(Planned))
    at_s = draw(moments())
    every_s = draw(st.none() | moments(1))
    until_s = draw(st.none() | moments()) if every_s else None
    return PlannedFault(
        kind,
        draw(st.sampled_from(TARGETS[kind])),
        at_s,
        draw(moments(1)),
        every_s,
        None if until_s is None else round(at_s + until_s, 3),
    )


plans = st.lists(faults(), max_size=6).map(lambda some: FaultPlan(tuple(some)))


@given(plans)
def test_a_plan_reads_back_from_its_own_text(plan: FaultPlan) -> None:
    assert read_plan(str(plan)) == plan


@given(plans)
def test_a_plan_reads_back_from_tables_of_the_same_words(plan: FaultPlan) -> None:
    tables = [
        {
            key: value
            for key in ("kind", "target", "at_s", "for_s", "every_s", "until_s")
            if (value := getattr(one, key)) is not None
        }
        for one in plan.faults
    ]
    assert read_plan(json.loads(json.dumps(tables))) == plan


@given(plans, st.integers(1, 20_000))
def test_strikes_are_in_order_and_a_plan_that_passes_has_none_that_overlap(
    plan: FaultPlan, load_s: int
) -> None:
    strikes = plan.strikes(load_s)
    assert [strike.number for strike in strikes] == list(range(1, len(strikes) + 1))
    assert all(one.at_s <= other.at_s for one, other in pairwise(strikes))
    try:
        plan.check(load_s=load_s, workers=12)
    except UsageError:
        return
    assert all(strike.at_s + strike.for_s <= load_s for strike in strikes)
    for target in {strike.target for strike in strikes}:
        on_target = [strike for strike in strikes if strike.target == target]
        assert all(one.held_until_s <= other.at_s for one, other in pairwise(on_target))


def test_the_six_faults_are_read_with_what_each_lasts() -> None:
    plan = read_plan(SIX)
    plan.check(load_s=100, workers=2)
    assert plan.strikes(100) == (
        Strike(1, Planned.KILL, "worker-1", 5, 2),
        Strike(2, Planned.FREEZE, "worker-2", 12, 4),
        Strike(3, Planned.BROKER_RESTART, "broker", 20, 0),
        Strike(4, Planned.DATABASE_RESTART, "database", 35, 0),
        Strike(5, Planned.KILL, "relay", 45, 2),
        Strike(6, Planned.NETWORK_CUT, "broker", 55, 4),
    )


def test_f5_a_fault_every_so_often_strikes_until_the_load_ends() -> None:
    plan = read_plan("kill worker-1 at 5 for 2 every 10")
    assert [strike.at_s for strike in plan.strikes(60)] == [5, 15, 25, 35, 45, 55]
    assert [strike.at_s for strike in plan.strikes(56)] == [5, 15, 25, 35, 45]


def test_f5_a_repetition_may_end_before_the_load_does() -> None:
    plan = read_plan("kill worker-1 at 5 for 2 every 10 until 25")
    assert [strike.at_s for strike in plan.strikes(60)] == [5, 15, 25]


def test_no_faults_can_be_asked_for_in_so_many_words() -> None:
    assert read_plan("none") == read_plan([]) == FaultPlan(())
    assert str(read_plan("none")) == "none"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kil worker-1 at 5", "did you mean 'kill'"),
        ("kill wroker-1 at 5", "did you mean 'worker-1'"),
        ("kill broker at 5", "unknown target of kill 'broker'"),
        ("kill worker-0 at 5", "did you mean 'worker-1'"),
        ("kill at 5", "unknown target of kill"),
        ("network_cut databse at 5", "did you mean 'database'"),
        ("broker_restart database at 5", "unknown target of broker_restart"),
        ("kill worker-1 att 5", "did you mean 'at'"),
        ("kill worker-1 at 5 fro 2", "did you mean 'for'"),
        ("kill worker-1", "when?"),
        ("kill worker-1 at", "at_s is seconds"),
        ("kill worker-1 at soon", "at_s is seconds"),
        ("kill worker-1 at -1", "at_s is seconds"),
        ("kill worker-1 at nan", "at_s is seconds"),
        ("kill worker-1 at inf", "at_s is seconds"),
        ("kill worker-1 at 5 at 6", "'at' stands twice"),
        ("freeze worker-1 at 5 for 0", "must last"),
        ("kill worker-1 at 5 every 0", "more than 0"),
        ("kill worker-1 at 5 until 9", "until needs every"),
        ("kill worker-1 at 5 every 1 until 4", "comes after at"),
    ],
)
def test_what_is_not_known_or_not_complete_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_plan(text)


def test_a_table_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'for_s'"):
        read_plan([{"kind": "kill", "target": "api", "at_s": 5, "form_s": 2}])


@pytest.mark.parametrize("value", [True, None, "soon", [1]])
def test_a_table_whose_time_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="at_s is seconds"):
        read_plan([{"kind": "kill", "target": "api", "at_s": value}])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kill worker-3 at 5", "did you mean 'worker-"),
        ("kill api at 59 for 2", "after the load of 60 s"),
        ("kill api at 10 every 10 until 60", "after the load of 60 s"),
        ("kill api at 5 for 4; freeze api at 8", "overlaps kill of api at 5 s"),
        ("kill api at 5; freeze api at 8", "its heal included"),
        ("kill api at 5 every 3", "overlaps"),
        ("broker_restart at 10; network_cut broker at 20", "holds broker until 25 s"),
        ("kill api at 1 every 0.01", "faults are more than"),
    ],
)
def test_what_does_not_fit_the_load_its_target_or_its_neighbours_is_refused(
    text: str, told: str
) -> None:
    plan = read_plan(text)
    with pytest.raises(UsageError, match=told):
        plan.check(load_s=60, workers=2)


def test_faults_on_different_targets_may_overlap() -> None:
    read_plan("kill api at 5; freeze relay at 5; broker_restart at 6").check(load_s=60, workers=1)
