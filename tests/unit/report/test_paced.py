"""Paced loads: latency from the schedule, the steady window, keeping up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from task_lab.report.paced import measure_paced, paced_point
from task_lab.report.records import Phase
from task_lab.spec import PhaseKind


def phase(per_s: float, duration_s: float, kind: PhaseKind = "step") -> Phase:
    return Phase(
        name="p",
        kind=kind,
        workload="sleep",
        workers=1,
        tasks=round(per_s * duration_s),
        round=1,
        started_at=0.0,
        ended_at=duration_s,
        resumed_at=None,
        offered_per_s=per_s,
        duration_s=duration_s,
        fraction=1.0,
    )


def played(
    due: np.ndarray, sent: np.ndarray, finished: np.ndarray, service_s: float = 0.02
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """History and ledger of tasks with these times."""
    ids = [f"{number:06d}" for number in range(len(due))]
    history = pd.DataFrame(
        {
            "phase": "p", "index": range(len(due)), "task_id": ids, "outcome": "accepted",
            "status": 201, "scheduled_at": due, "sent_at": sent, "answered_at": sent + 0.002,
        }
    )  # fmt: skip
    ledger = pd.DataFrame(
        {
            "id": ids, "phase": "p", "due_at": sent + 0.001,
            "started_at": np.maximum(finished - service_s, sent + 0.001), "finished_at": finished,
        }
    )  # fmt: skip
    return history, ledger


def served(due: np.ndarray, per_s: float) -> np.ndarray:
    """When each would be finished by one server of this rate, 20 ms of work after its turn."""
    ends, free = [], 0.0
    for at in due:
        free = max(free, at) + 1 / per_s
        ends.append(free + 0.02)
    return np.array(ends)


def test_a_load_that_is_kept_up_with_achieves_what_is_offered() -> None:
    due = np.arange(1_200) / 100
    point = paced_point(phase(100, 12), *played(due, due, due + 0.03))
    assert point["achieved_over_offered"] == 1
    assert point["achieved_per_s"] == pytest.approx(100, rel=0.01)
    assert point["end_to_end_s"]["p99"] == pytest.approx(0.03)
    assert point["queue_wait_s"]["p50"] == pytest.approx(0.009)


@pytest.mark.parametrize("overload", [1.05, 1.2, 2.0, 3.0])
def test_d9_a_backlog_that_grows_is_less_than_was_offered(overload: float) -> None:
    due = np.arange(round(1_200 * overload)) / (100 * overload)
    point = paced_point(phase(100 * overload, 12), *played(due, due, served(due, 100)))
    assert point["achieved_over_offered"] < 0.99
    assert point["achieved_per_s"] == pytest.approx(100, rel=0.02)


def test_a_few_slow_tasks_keep_up_too() -> None:
    due = np.arange(24) / 2
    point = paced_point(phase(2, 12), *played(due, due, due + 1.5, service_s=1.49))
    assert point["achieved_over_offered"] == 1


def test_d5_a_freeze_shows_in_every_task_that_was_due_meanwhile() -> None:
    due = np.arange(2_000) / 100
    # nothing is answered from 8 s to 13 s; a sender with ten places sends ten and then waits
    stuck = (due >= 8) & (due < 13)
    late = np.flatnonzero(stuck)[10:]
    sent = due.copy()
    sent[late] = 13 + np.arange(len(late)) * 0.0005
    finished = np.maximum(sent, np.where(stuck, 13.0, 0.0)) + 0.03
    point = paced_point(phase(100, 20), *played(due, sent, finished))
    assert point["end_to_end_s"]["p95"] > 3
    assert point["from_send_s"]["p95"] < 0.05
    slow = int((finished - due > 0.1).sum())
    assert 450 <= slow <= 510
    assert point["send_lag_p99_s"] > 3


def test_d10_the_first_tenth_is_in_no_figure_and_the_full_run_is_shown() -> None:
    due = np.arange(3_000) / 100
    cold = np.where(due < 2.9, 1.0, 0.03)
    point = paced_point(phase(100, 30), *played(due, due, due + cold))
    assert point["end_to_end_s"]["p99"] == pytest.approx(0.03)
    assert point["full"]["end_to_end_s"]["p95"] == pytest.approx(1.0)
    assert point["steady_from"] == pytest.approx(3, rel=0.01)


def test_d11_a_short_load_says_which_percentiles_it_cannot_carry() -> None:
    due = np.arange(300) / 50
    point = paced_point(phase(50, 6), *played(due, due, due + 0.03))
    assert set(point["latency_evidence"]["end_to_end_s"]["too_short"]) == {"p95", "p99"}


def test_percentiles_have_intervals_from_whole_seconds() -> None:
    due = np.arange(1_500) / 100
    finished = due + 0.02 + 0.01 * np.sin(due)
    point = paced_point(phase(100, 15), *played(due, due, finished))
    interval = point["latency_evidence"]["end_to_end_s"]["intervals"]["p50"]
    assert interval["low"] <= point["end_to_end_s"]["p50"] <= interval["high"]


def test_probes_are_no_points_of_the_experiment() -> None:
    due = np.arange(100) / 50
    history, ledger = played(due, due, due + 0.03)
    assert measure_paced([phase(50, 2, "probe")], history, ledger) == []
    assert [p["phase"] for p in measure_paced([phase(50, 2, "load")], history, ledger)] == ["p"]


def test_a_load_in_which_nothing_finished_has_no_figures() -> None:
    due = np.arange(100) / 50
    history, ledger = played(due, due, due + 0.03)
    point = paced_point(phase(50, 2), history, ledger.iloc[:0])
    assert point["end_to_end_s"] == {"p50": None, "p95": None, "p99": None}
    assert point["achieved_over_offered"] == 0
