from typing import Any

import pandas as pd
import pytest
from task_lab.report.points import efficiency, measure_points, speedups
from task_lab.report.records import Phase

from ...run_folders import FakeRun, Writer


def phase(name: str, kind: Any, workers: int = 1, number: int | None = None) -> Phase:
    return Phase(name, kind, "sum", workers, 4, number, 100.0, 110.0, None)


def sent(phase: str, *times: tuple[float, float, float], outcome: str = "accepted") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "phase": phase,
                "index": i,
                "task_id": f"{phase}-{i}",
                "outcome": outcome,
                "status": 201,
                "scheduled_at": scheduled,
                "sent_at": sent_at,
                "answered_at": answered,
            }
            for i, (scheduled, sent_at, answered) in enumerate(times)
        ]
    )


def ledger(phase: str, *times: tuple[float, float, float | None]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "id": f"{phase}-{i}",
                "state": "SUCCEEDED",
                "due_at": due,
                "started_at": started,
                "finished_at": finished,
                "phase": phase,
            }
            for i, (due, started, finished) in enumerate(times)
        ]
    ).astype({"finished_at": float})


def test_the_three_rates_are_what_their_definitions_say() -> None:
    phases = [phase("r1", "round", number=1), phase("d", "drain", number=1)]
    history = pd.concat(
        [
            sent("r1", (10.0, 10.5, 11.0), (10.0, 10.5, 12.5)),
            sent("d", (20.0, 20.0, 21.0), (20.0, 20.0, 21.0)),
        ]
    )
    tasks = pd.concat(
        [
            ledger("r1", (10.8, 11.0, 11.5), (12.0, 12.1, 14.0)),
            ledger("d", (20.5, 30.0, 30.5), (20.5, 30.2, 30.8)),
        ]
    )
    (point,) = measure_points(phases, history, tasks)
    assert point["submit_per_s"] == 2 / (12.5 - 10.5)
    assert point["end_to_end_per_s"] == 2 / (14.0 - 10.0)
    assert point["drain_per_s"] == pytest.approx(2 / (30.8 - 30.0))
    assert point["tasks"] == 2
    assert point["queue_wait_s"]["p50"] == pytest.approx(0.1)
    assert point["end_to_end_s"] == {"p50": 1.5, "p95": 4.0, "p99": 4.0}


def test_d10_a_warm_up_is_in_no_figure_but_is_shown() -> None:
    phases = [phase("w", "warmup"), phase("r1", "round", number=1)]
    history = pd.concat([sent("w", (0.0, 0.0, 50.0)), sent("r1", (60.0, 60.0, 61.0))])
    tasks = pd.concat([ledger("w", (0.0, 40.0, 50.0)), ledger("r1", (60.0, 60.0, 61.0))])
    (point,) = measure_points(phases, history, tasks)
    assert point["end_to_end_per_s"] == 1.0
    assert point["end_to_end_s"]["p99"] == 1.0
    assert [r["kind"] for r in point["rounds"]] == ["warmup", "round"]


def test_a_rate_is_the_median_of_its_rounds_with_an_interval_from_six_on() -> None:
    rounds = [phase(f"r{n}", "round", number=n) for n in range(1, 8)]
    history = pd.concat([sent(p.name, (0.0, 0.0, float(p.round or 0))) for p in rounds])
    tasks = pd.concat([ledger(p.name, (0.0, 0.0, float(p.round or 0))) for p in rounds])
    (point,) = measure_points(rounds, history, tasks)
    assert point["submit_per_s"] == 0.25
    assert point["intervals"]["submit_per_s"]["low"] == pytest.approx(1 / 7, rel=1e-4)
    assert point["intervals"]["submit_per_s"]["high"] == 1.0
    (fewer,) = measure_points(rounds[:5], history, tasks)
    assert fewer["intervals"]["submit_per_s"] is None


def test_a_point_whose_tasks_never_finished_has_no_figures_and_no_zeros() -> None:
    phases = [phase("r1", "round", number=1), phase("d", "drain", number=1)]
    history = pd.concat([sent("r1", (0.0, 0.0, 1.0)), sent("d", (0.0, 0.0, 1.0))])
    (point,) = measure_points(phases, history, ledger("r1", (0.0, 0.0, None)))
    assert point["end_to_end_per_s"] is None
    assert point["drain_per_s"] is None
    assert point["queue_wait_s"] == {"p50": None, "p95": None, "p99": None}


def test_answers_are_those_the_client_waited_for() -> None:
    history = pd.concat(
        [
            sent("r1", (0.0, 0.5, 2.5)),
            sent("r1", (0.0, 0.0, 9.0), outcome="rejected"),
            sent("r2", (9.0, 9.0, 10.0)),
            sent("w", (0.0, 0.0, 8.0)),
        ]
    )
    phases = [phase("w", "warmup"), phase("r1", "round", number=1), phase("r2", "round", number=2)]
    (point,) = measure_points(phases, history, ledger("r1", (0, 0, 2.0)))
    assert point["latency_evidence"]["answer_s"]["tasks"] == 2
    assert sorted({point["answer_s"]["p50"], point["answer_s"]["p99"]}) == [1.0, 2.0]


def test_tasks_that_end_at_one_time_are_of_one_commit() -> None:
    history = sent("r1", *[(0.0, 0.0, 1.0)] * 4)
    finished = ledger("r1", (0, 0, 2.0), (0, 1.0, 2.0), (0, 0, 2.0), (0, 0, 3.0))
    (point,) = measure_points([phase("r1", "round", number=1)], history, finished)
    assert point["tasks_a_commit"] == 2.0


def test_refused_submissions_are_not_accepted_ones() -> None:
    history = pd.concat(
        [sent("r1", (0.0, 0.0, 1.0)), sent("r1", (0.0, 0.0, 2.0), outcome="rejected")]
    )
    (point,) = measure_points([phase("r1", "round", number=1)], history, ledger("r1", (0, 0, 2.0)))
    assert point["rounds"][0]["tasks"] == 1
    assert point["submit_per_s"] == 0.5


def test_d7_latencies_that_end_before_they_begin_are_counted() -> None:
    history = sent("r1", (10.0, 10.0, 10.1))
    (point,) = measure_points(
        [phase("r1", "round", number=1)], history, ledger("r1", (9.8, 9.7, 9.9))
    )
    assert point["latency_evidence"]["queue_wait_s"]["negative"] == 1
    assert point["latency_evidence"]["end_to_end_s"]["negative"] == 1


def test_points_come_in_the_order_they_were_measured() -> None:
    writer = Writer(FakeRun(rounds=1, tasks=20, drain_tasks=20))
    writer.play()
    phases = [
        Phase(**{k: e[k] for k in ("kind", "workload", "workers", "tasks", "round")},
              name=e["phase"], started_at=e["at"], ended_at=e["at"], resumed_at=None)
        for e in writer.events
        if e["event"] == "phase_started"
    ]  # fmt: skip
    points = measure_points(phases, pd.DataFrame(writer.history), pd.DataFrame(writer.tasks))
    assert [(p["workload"], p["workers"]) for p in points] == [
        ("sum", 1),
        ("sum", 3),
        ("sleep", 1),
        ("sleep", 3),
    ]


def point(workers: int, drains: list[float], rounds: list[float]) -> dict[str, Any]:
    return {
        "workload": "sum",
        "workers": workers,
        "drains": [{"drain_per_s": d} for d in drains],
        "rounds": [{"kind": "round", "submit_per_s": r, "end_to_end_per_s": r} for r in rounds],
        "submit_per_s": 100.0,
        "drain_per_s": 50.0,
        "end_to_end_per_s": None,
    }


def test_e16_two_worker_counts_give_a_ratio_and_no_fit() -> None:
    found = speedups([point(3, [30.0], [2.0] * 6), point(1, [10.0], [1.0] * 6)])
    by_rate = {s["rate"]: s for s in found}
    assert {tuple(s["workers"]) for s in found} == {(1, 3)}
    assert by_rate["drain_per_s"]["ratio"] == 3.0
    assert by_rate["drain_per_s"]["interval"] is None
    assert "6 needed" in by_rate["drain_per_s"]["reason"]
    assert by_rate["submit_per_s"]["interval"]["low"] == 2.0


def test_repeated_drains_give_the_drain_ratio_an_interval() -> None:
    found = speedups([point(1, [10.0] * 6, []), point(3, [30.0] * 6, [])])
    assert [s["interval"]["high"] for s in found if s["rate"] == "drain_per_s"] == [3.0]


def test_efficiency_is_measured_over_floor_for_work_the_floor_does() -> None:
    floor = {"submit_per_s": 200.0, "drain_per_s": 100.0, "end_to_end_per_s": 50.0}
    measured = point(1, [50.0], [])
    assert efficiency(measured, floor, ["sum"]) == {"submit": 0.5, "drain": 0.5, "end_to_end": None}
    assert efficiency(measured, floor, ["sleep"]) is None
    assert efficiency(measured, floor, ["sum", "sleep"]) is None
    assert efficiency(measured, {"reason": "no disk"}, ["sum"]) is None
