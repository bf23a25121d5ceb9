"""What a bench measures, and how large."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from task_lab.bench.latency import idle_schedule
from task_lab.bench.plan import SLEEP, SUM, Plan, described, read_groups
from task_lab.bench.rows import Group
from task_lab.bench.run import STEPS
from task_lab.errors import UsageError


def test_no_names_are_all_groups_and_names_come_in_measuring_order() -> None:
    assert read_groups("") == tuple(Group)
    assert read_groups("latency, drain") == (Group.DRAIN, Group.LATENCY)


def test_an_unknown_group_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="no group named 'drains'; did you mean 'drain'"):
        read_groups("drains")


def test_every_group_is_measured_by_exactly_one_step() -> None:
    assert sorted(group for groups, _ in STEPS for group in groups) == sorted(Group)


def test_a_smaller_scale_makes_less_but_never_nothing() -> None:
    assert Plan().drain_tasks == 20_000
    assert Plan(scale=0.1).drain_tasks == 2_000
    assert Plan(scale=0.01).drain_tasks == 200
    assert Plan(scale=0.01).seconds(4.0) == 1.0


@pytest.mark.parametrize(("cycles", "sleep", "pairs"), [(1, 1, 3), (3, 1, 6), (5, 2, 10)])
def test_cycles_set_every_number_of_repetitions(cycles: int, sleep: int, pairs: int) -> None:
    plan = Plan(cycles=cycles)
    assert (plan.sleep_cycles, plan.pairs) == (sleep, pairs)


def test_a_run_says_what_was_left_out() -> None:
    plan = described(Plan(groups=(Group.DRAIN,), scale=0.5))
    assert plan["groups"] == ["drain"]
    assert "latency" in plan["left_out"] and "drain" not in plan["left_out"]
    assert (plan["cycles"], plan["scale"]) == (5, 0.5)


def test_the_workloads_are_what_the_types_expect_and_return() -> None:
    assert json.loads(SUM.expect)["sum"] == sum(json.loads(SUM.body)["payload"]["numbers"])
    assert json.loads(SLEEP.expect) == {"slept_s": SLEEP.payload["seconds"]}


def test_tasks_to_an_idle_platform_are_apart_and_never_in_step() -> None:
    due = idle_schedule(1_000, seed=1)
    gaps = [after - before for before, after in pairwise(due)]
    assert min(gaps) >= 0.010
    assert len({round(gap, 6) for gap in gaps}) > 900
    assert due == idle_schedule(1_000, seed=1)
