"""From measurements to the values of rows and figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.bench import findings
from task_lab.bench.measurements import Line
from task_lab.bench.rows import TARGETS, Found, Group, judge

from .lines import cpu, problem, sample, series, whole


def test_a_whole_bench_has_a_value_for_every_row() -> None:
    rows = judge(list(Group), findings.find(whole()), {})
    assert [row.target.name for row in rows if not row.is_pass] == []
    assert len(rows) == len(TARGETS)


def test_nothing_measured_is_no_value_anywhere() -> None:
    assert set(findings.find([]).values()) == {Found(None)}
    assert findings.figures_beside([], []) == []


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_cycles() -> None:
    lines = [
        *series("drain_1w_per_s", 100, 300, 200),
        *series("drain_floor_per_s", 200, 400, 500),
    ]
    assert findings.find(lines)["drain_1w_per_floor"] == Found(200 / 400, 0.4, 0.75)


def test_cycles_that_lack_one_side_do_not_widen_the_spread() -> None:
    lines = [*series("sleep_3w_per_s", 300), *series("sleep_1w_per_s", 100, 50)]
    found = findings.find(lines)["sleep_3w_per_1w"]
    assert (found.value, found.low, found.high) == (4.0, 3.0, 3.0)


def test_a_rate_of_nothing_gives_no_ratio() -> None:
    lines = [*series("drain_1w_per_s", 100), *series("drain_floor_per_s", 0)]
    assert findings.find(lines)["drain_1w_per_floor"].value is None


def test_a_group_that_came_to_no_end_has_no_values_whatever_it_measured_before() -> None:
    lines = [*whole(), problem(Group.DRAIN, "tasks were lost", is_wrong=True)]
    rows = judge(list(Group), findings.find(lines), findings.missing_reasons(lines))
    missing = {row.target.name: row.note for row in rows if row.value is None}
    assert set(missing) == {t.name for t in TARGETS if t.group is Group.DRAIN}
    assert set(missing.values()) == {"not measured: tasks were lost"}


def test_the_first_reason_of_a_group_stands() -> None:
    lines = [problem(Group.PEER, "not installed"), problem(Group.PEER, "later")]
    assert findings.missing_reasons(lines) == {Group.PEER: "not installed"}


def test_percentiles_are_of_the_whole_sample() -> None:
    lines = sample("idle_latency_ms", [float(value) for value in range(1, 101)])
    found = findings.find(lines)
    assert (found["idle_p50_ms"].value, found["idle_p99_ms"].value) == (50.0, 99.0)


def test_memory_grows_from_before_to_the_most_beside_the_backlog() -> None:
    lines = [
        *series("backlog_api_before_mb", 70.0, group=Group.BACKLOG),
        *series("backlog_api_beside_mb", 75.5, group=Group.BACKLOG),
    ]
    assert findings.find(lines)["backlog_api_growth_mb"] == Found(5.5)
    assert findings.find(lines)["backlog_worker_growth_mb"] == Found(None)


def test_a_profile_is_one_repetition_so_that_its_parts_add_up() -> None:
    lines = cpu(
        "cpu_drain_ms_per_task",
        {"worker": 0.10, "postgres": 0.01},
        {"worker": 0.01, "postgres": 0.05},
        {"worker": 0.03, "postgres": 0.05},
    )
    assert findings.profile(lines, "drain") == {"worker": 0.03, "postgres": 0.05}
    found = findings.find(lines)["cpu_drain_ms_per_task"]
    assert found.value == pytest.approx(0.08)
    assert (found.low, found.high) == pytest.approx((0.06, 0.11))


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(1.0, 1.0), (1.0, 1.0)],
        [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)],
        [(1.0, 1.0), (math.nan, 1.0), (1.0, 1.0)],
    ],
)
def test_pairs_that_cannot_carry_an_interval_get_none(pairs: list[tuple[float, float]]) -> None:
    assert findings.paired_ratio(pairs) is None


def test_the_interval_of_paired_ratios_is_students() -> None:
    # Log ratios -0.1, 0, 0.1: mean 0, standard error 0.1 / sqrt(3), t(2) at 97.5 % is 4.302653.
    pairs = [(math.exp(x), 1.0) for x in (-0.1, 0.0, 0.1)]
    found = findings.paired_ratio(pairs)
    assert found is not None
    reach = 4.302653 * 0.1 / math.sqrt(3)
    assert found[0] == pytest.approx(1.0)
    assert (found[1].low, found[1].high) == pytest.approx((math.exp(-reach), math.exp(reach)))


@given(
    st.lists(st.floats(min_value=0.5, max_value=2), min_size=3, max_size=9),
    st.floats(min_value=0.1, max_value=10),
)
def test_a_machine_that_gets_slower_for_both_changes_no_paired_ratio(
    ratios: list[float], pace: float
) -> None:
    steady = findings.paired_ratio([(ratio, 1.0) for ratio in ratios])
    slowing = findings.paired_ratio([(ratio * pace**n, pace**n) for n, ratio in enumerate(ratios)])
    assert steady is not None and slowing is not None
    assert slowing[0] == pytest.approx(steady[0])
    assert slowing[1].low == pytest.approx(steady[1].low)


def test_the_pairs_of_a_bench_are_those_of_the_same_cycle() -> None:
    lines = [*series("a", 1, 2, 3), *series("b", 10, 20)]
    assert findings.by_cycle(lines, "a", "b") == [(1, 10), (2, 20)]


def test_the_absolute_values_beside_the_ratios_are_figures_with_their_units() -> None:
    names = [target.name for target in TARGETS]
    found = {f.name: (f.value, f.unit) for f in findings.figures_beside(whole(), names)}
    expected = {
        "drain_floor_per_s": (20_000, "tasks/s"),
        "drain_pgqueuer_per_s": (12_000, "tasks/s"),
        "drain_1w_classic_per_s": (17_000, "tasks/s"),
        "empty_route_per_s": (9_050, "requests/s"),
        "backlog_worker_before_mb": (60, "MB"),
        "buffers_per_task_full": (10.1, "pages"),
        "cpu_drain_worker_ms_per_task": (0.05, "ms"),
    }
    assert {name: found[name] for name in expected} == expected
    assert found["million_rows_drain_ratio"][1] == "ratio"
    assert not found.keys() & set(names)


def test_a_value_that_no_row_states_is_a_figure() -> None:
    lines: list[Line] = [
        *series("drain_1w_per_s", 100, group=Group.PEER),
        *series("drain_pgqueuer_per_s", 50, group=Group.PEER),
    ]
    found = findings.figures_beside(lines, ["drain_1w_per_pgqueuer"])
    assert [figure.name for figure in found] == ["drain_1w_per_s", "drain_pgqueuer_per_s"]
