import json
from typing import Any

import numpy as np
import pytest
from task_lab.report import law_words
from task_lab.report.kinds.scaling import slots
from task_lab.report.laws import (
    largest_shares,
    law_record,
    laws_of,
    measured_rates,
    sizing_records,
    speedup_records,
)
from task_lab.scaling.law import Law
from task_lab.scaling.usl import Fit, Refused
from task_lab.spec import ScalingSpec, load_definition, resolve

LAW = Law(500, 0.02, 0.001)


def points(law: Law = LAW, workers: range = range(1, 7), drains: int = 6) -> list[dict[str, Any]]:
    """Points of a workload `sleep` whose drains differ by a percent."""
    rng = np.random.default_rng(1)
    found = []
    for n in workers:
        rates = law.per_s(n) * np.exp(0.01 * rng.standard_normal(drains))
        found.append(
            {
                "workload": "sleep",
                "workers": n,
                "drain_per_s": float(np.median(rates)),
                "intervals": {"drain_per_s": None},
                "drains": [{"drain_per_s": float(rate)} for rate in rates],
                "rounds": [],
            }
        )
    return found


def shares(workers: int, *largest: float) -> list[dict[str, Any]]:
    return [{"workload": "sleep", "workers": workers, "shares": [one, 1 - one]} for one in largest]


def asked(laws: dict[str, Fit | Refused], **more: Any) -> list[dict[str, Any]]:
    given: dict[str, Any] = {"wanted_per_s": {"sleep": 1200.0}, "wait_s": 0.1, **more}
    return sizing_records(laws, points(), slots={"sleep": 10}, **given)


def test_every_drain_is_a_measurement_of_its_count() -> None:
    measured = measured_rates(points(), "sleep")
    assert list(measured) == [1, 2, 3, 4, 5, 6]
    assert {len(rates) for rates in measured.values()} == {6}
    assert measured_rates(points(), "sum") == {}


def test_a_law_is_a_record_that_json_can_hold() -> None:
    (law,) = laws_of(points(), []).values()
    record = law_record("sleep", law)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["refused"] is None
    assert record["sigma"]["low"] <= record["sigma"]["value"] <= record["sigma"]["high"]
    assert record["peak"]["workers"] is None
    assert record["peak"]["note"].startswith("beyond 6 workers")
    assert [one["workers"] for one in record["residuals"]] == [1, 2, 3, 4, 5, 6]
    curve = record["curve"]
    assert (curve[0]["workers"], curve[-1]["workers"]) == (1, 6)
    assert all(one["low"] <= one["per_s"] <= one["high"] for one in curve)


def test_e16_a_refusal_has_the_same_fields_and_its_reason() -> None:
    measured = points(workers=range(1, 6))
    (law,) = laws_of(measured, []).values()
    record = law_record("sleep", law)
    (other,) = laws_of(points(), []).values()
    assert set(record) == set(law_record("sleep", other))
    assert "5 usable worker counts" in record["refused"]
    assert record["sigma"] is None
    assert record["curve"] is None
    assert "no law: 5 usable worker counts" in law_words.law_sentence(record)
    assert [one["workers"] for one in speedup_records(measured, [])] == [
        [1, n] for n in range(2, 6)
    ]


def test_a_count_where_one_worker_did_most_is_flagged_and_left_out() -> None:
    unfair = [*shares(2, 0.5, 0.55, 0.9), *shares(3, 0.7, 0.5, 0.8)]
    assert largest_shares(unfair, "sleep") == {2: 0.55, 3: 0.7}
    (law,) = laws_of(points(workers=range(1, 8)), unfair).values()
    assert isinstance(law, Fit)
    record = law_record("sleep", law)
    assert record["left_out"] == {"3": "one worker did most of the work"}
    assert "Without 3 workers." in law_words.law_sentence(record)
    flags = {one["workers"][1]: one["flagged"] for one in speedup_records(points(), unfair)}
    assert flags == {2: False, 3: True, 4: False, 5: False, 6: False}


def test_the_load_asked_about_comes_first_and_the_ladder_after_it() -> None:
    found = asked(laws_of(points(), []))
    assert [one["asked"] for one in found] == [True, False, False, False, False]
    assert found[0]["per_s"] == 1200
    assert found[0]["workers"] == 3
    assert [one["workers"] for one in found[1:]] == sorted(one["workers"] for one in found[1:])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_workload_that_nothing_was_asked_about_has_its_ladder() -> None:
    assert [one["asked"] for one in asked(laws_of(points(), []), wanted_per_s={})] == [False] * 4


def test_without_a_law_every_answer_says_why_there_is_none() -> None:
    found = asked(laws_of(points(workers=range(1, 4)), []))
    assert {one["workers"] for one in found} == {None}
    assert all(law_words.needed(one).startswith("no answer: no law was fitted") for one in found)


def test_processes_are_slots_only_as_far_as_there_are_cores() -> None:
    spec = resolve(load_definition("scaling"), {})
    assert isinstance(spec, ScalingSpec)
    assert slots(spec, cores=2) == {"sum": 10, "sleep": 10, "cpu": 2}
    assert slots(spec, cores=64)["cpu"] == 10


@pytest.mark.parametrize(
    ("low", "told"),
    [(0.01, "0.02 (0.01 to 0.03)"), (0.0, "not told apart from 0 (at most 0.03)")],
)
def test_a_coefficient_near_0_is_not_given_a_value(low: float, told: str) -> None:
    found = {"value": 0.02, "low": low, "high": 0.03, "differs_from_0": low > 0}
    assert law_words.estimate(found) == told


def test_an_open_interval_is_said_in_words() -> None:
    answer = {"workers": 5, "low": 4, "high": None, "reason": None}
    assert law_words.needed(answer) == "5 workers (4 to more than measured)"
    peak = {"workers": 4.2, "low": 3.4, "high": None, "per_s": 900.0}
    assert law_words.peak(peak) == "at 4.2 workers (3.4 to more than measured), 900 tasks/s"


def test_the_headline_is_of_the_most_workers() -> None:
    found = law_words.headline(speedup_records(points(), []), points())
    assert [one["name"] for one in found] == ["sleep, 6 workers", "sleep, speed-up with 6 workers"]
    assert {one["better"] for one in found} == {"higher"}
    assert found[1]["value"] == pytest.approx(LAW.per_s(6) / 500, rel=0.02)


def test_rows_are_in_the_order_of_workers_whatever_their_turns() -> None:
    turns = [("b", 3), ("b", 1), ("a", 2), ("a", 1)]
    mixed = [{"workload": workload, "workers": n} for workload, n in turns]
    found = [(p["workload"], p["workers"]) for p in law_words.by_workers(mixed)]
    assert found == [("b", 1), ("b", 3), ("a", 1), ("a", 2)]


def test_the_turns_of_the_counts_do_not_follow_the_counts() -> None:
    spec = resolve(load_definition("scaling"), {})
    assert abs(np.corrcoef(spec.workers, np.arange(len(spec.workers)))[0, 1]) < 0.1
