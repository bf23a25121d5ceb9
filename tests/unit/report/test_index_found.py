"""What the index says of a run, by its summary alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.report.index.found import Figure, found_in, told, value_text, with_unit

ROW = {"name": "drain_1w_per_s", "value": 41000.4, "unit": "tasks/s", "pass": True}


def entry(value: Any, unit: str = "tasks/s") -> dict[str, Any]:
    return {"headline": [{"name": "knee", "value": value, "unit": unit, "better": "higher"}]}


def test_a_headline_goes_before_all_else() -> None:
    found = found_in({**entry(478.2), "points": [{"not": "looked at"}], "rows": []})
    assert found.text == "knee: 478 tasks/s"
    assert found.figures == (Figure("knee", 478.2, "tasks/s", "higher"),)


def test_points_give_the_rate_end_to_end() -> None:
    points = [
        {"workload": "sum", "workers": 1, "end_to_end_per_s": 2345.6},
        {"workload": "sleep", "workers": 3, "end_to_end_per_s": None},
    ]
    found = found_in({"points": points})
    assert found.text == "sum 1: 2,346, sleep 3: n/a tasks/s"
    assert [figure.value for figure in found.figures] == [2345.6, None]
    assert [figure.name for figure in found.figures] == ["sum, 1 worker", "sleep, 3 workers"]


def test_a_bench_tells_its_targets_and_keeps_its_rates_for_the_trends() -> None:
    rows = [
        ROW,
        {"name": "end_to_end_per_s", "value": 2450.0, "unit": "tasks/s", "pass": True},
        {"name": "idle_p50_ms", "value": 3.1, "unit": "ms", "pass": False},
    ]
    found = found_in({"rows": rows})
    assert found.text == "2 of 3 targets met, end to end: 2,450 tasks/s"
    assert [figure.name for figure in found.figures] == ["targets met", "drain 1w", "end to end"]
    assert found_in({"rows": [ROW]}).text == "1 of 1 targets met"


@pytest.mark.parametrize("value", [None, True, "12", float("nan"), float("inf"), 1e300, [], {}])
def test_what_is_no_number_is_no_figure(value: object) -> None:
    found = found_in(entry(value))
    assert found.text == "knee: n/a tasks/s"
    assert found.figures[0].value is None


def test_a_unit_is_told_once_behind_those_that_share_it() -> None:
    figures = [
        Figure("a", 1.0, "%"),
        Figure("b", 2.5, "%"),
        Figure("lag", 0.0123, "s"),
        Figure("speed-up", 2.87, "ratio"),
    ]
    assert told(figures) == "a: 1; b: 2.5 %; lag: 12.3 ms; speed-up: 2.87"
    assert told([]) == "n/a"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "tasks", "0 tasks"),
        (12.0, "tasks", "12 tasks"),
        (-1234.5, "tasks/s", "-1,234 tasks/s"),
        (0.25, "s", "250 ms"),
        (None, "s", "n/a"),
        (None, "tasks", "n/a"),
    ],
)
def test_a_figure_is_told_with_its_unit(value: float | None, unit: str, text: str) -> None:
    assert with_unit(value, unit) == text


@given(st.floats(-1e14, 1e14), st.sampled_from(["s", "%", "tasks/s", ""]))
def test_any_number_can_be_told(value: float, unit: str) -> None:
    assert value_text(value, unit)
