"""Objectives: one that nothing was measured for is not met, and one that is none is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from task_lab.check.objectives import judge_objectives
from task_lab.errors import UsageError
from task_lab.spec import DEFINITIONS, load_definition, resolve
from task_lab.spec.records import Limit

POINT: dict[str, Any] = {
    "workload": "sum",
    "workers": 1,
    "submit_per_s": 900.0,
    "achieved_over_offered": None,
    "queue_wait_s": {"p50": 0.01, "p95": 0.2, "p99": math.nan},
}


def definition(folder: Path, objectives: str) -> str:
    text = (DEFINITIONS / "throughput.toml").read_text("utf-8")
    path = folder / "mine.toml"
    path.write_text(f"{text}\n[objectives]\n{objectives}\n", "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("objective", "near"),
    [
        ("queue_wait_p95_latnecy = { max = 1 }", "queue_wait_p95_s"),
        ('" queue_wait_p95_s" = { max = 1 }', "queue_wait_p95_s"),
        ('"queue_wait_p95_s " = { max = 1 }', "queue_wait_p95_s"),
        ("queue_wait_p95 = { max = 1 }", "queue_wait_p95_s"),
    ],
)
def test_b17_an_objective_on_no_figure_is_refused_with_the_nearest_one(
    tmp_path: Path, objective: str, near: str
) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        load_definition(definition(tmp_path, objective))


@pytest.mark.parametrize("limit", ["{}", "{ max = nan }", "{ min = -inf }", "{ maximum = 1 }"])
def test_b17_a_limit_that_limits_nothing_is_refused(tmp_path: Path, limit: str) -> None:
    with pytest.raises(UsageError):
        load_definition(definition(tmp_path, f"queue_wait_p95_s = {limit}"))


def test_a_known_objective_reaches_the_run(tmp_path: Path) -> None:
    found = load_definition(definition(tmp_path, "queue_wait_p95_s = { max = 0.1 }"))
    assert resolve(found, {}).objectives == {"queue_wait_p95_s": Limit(max=0.1)}


@pytest.mark.parametrize(
    ("name", "limit", "verdict"),
    [
        ("submit_per_s", Limit(min=900), "PASS"),
        ("submit_per_s", Limit(min=901), "FAIL"),
        ("queue_wait_p95_s", Limit(max=0.1), "FAIL"),
        ("queue_wait_p95_s", Limit(min=0.1, max=0.3), "PASS"),
        # not measured, not a number, not among the point's figures
        ("achieved_over_offered", Limit(min=0.99), "UNKNOWN"),
        ("queue_wait_p99_s", Limit(max=1), "UNKNOWN"),
        ("end_to_end_p95_s", Limit(max=1), "UNKNOWN"),
        ("drain_per_s", Limit(min=0), "UNKNOWN"),
    ],
)
def test_b17_what_was_not_measured_is_unknown_and_never_met(
    name: str, limit: Limit, verdict: str
) -> None:
    (judged,) = judge_objectives({name: limit}, [POINT])
    assert judged["verdict"] == verdict
    if verdict == "UNKNOWN":
        assert judged["observed"] is None


def test_b17_an_objective_without_any_point_is_unknown() -> None:
    (judged,) = judge_objectives({"submit_per_s": Limit(min=1)}, [])
    assert judged["verdict"] == "UNKNOWN"
