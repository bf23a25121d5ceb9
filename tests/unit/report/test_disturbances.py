"""What a fault did, and when it was noticed and made good, from records alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from task_lab.check.executions import count_endings
from task_lab.report.disturbances import Load, measure_faults, spans_of, struck_faults
from task_lab.report.signs import Telemetry, signs_of

from ...disturbed import (
    HELD,
    KILLED_S,
    PER_S,
    RETURNED_S,
    START,
    events,
    history,
    metric,
    metrics,
    phase,
    tasks,
    witness,
)

TELEMETRY = Telemetry(metrics(), witness(), events())


def measured(**changes: Any) -> dict[str, Any]:
    given = {"history": history(), "tasks": tasks(), "telemetry": TELEMETRY, **changes}
    (fault,) = measure_faults(phase(), **given)
    return fault


def test_the_dip_is_from_the_seconds_before_to_the_worst_second_after() -> None:
    fault = measured()
    assert fault["baseline_per_s"] == pytest.approx(PER_S, rel=0.02)
    assert (fault["lowest_per_s"], fault["dip"]) == (0, 1)


def test_times_count_from_the_load_and_from_the_fault() -> None:
    fault = measured()
    assert fault["at_s"] == pytest.approx(KILLED_S)
    assert fault["down_s"] == pytest.approx(2)
    assert fault["slowest_s"] == pytest.approx(RETURNED_S + 0.5 - HELD[0] / PER_S)


def test_it_is_made_good_when_the_backlog_is_back_and_stays_so_for_a_second() -> None:
    """Two tasks hang until their claim is taken back: that much more than before is not back."""
    fault = measured()
    assert fault["backlog_before"] == pytest.approx(0.8, abs=0.02)
    assert fault["backlog_peak"] == pytest.approx(52, abs=1)
    assert fault["recovered_s"] == pytest.approx(RETURNED_S + 0.5 - KILLED_S, abs=0.3)


def test_what_only_a_later_fault_brings_about_is_not_put_down_to_the_one_before() -> None:
    early = [{**one, "at": one["at"] - 6, "number": 0} for one in events() if "number" in one]
    telemetry = replace(TELEMETRY, events=[*early, *events()])
    first, other = measure_faults(phase(), history(), tasks(), telemetry)
    assert (first["recovered_s"], first["undisturbed"]) == (0, True)
    assert other["recovered_s"] > 9
    assert other["alone"]


def test_a_single_task_that_hangs_is_not_made_good_either() -> None:
    one = tasks()
    one["finished_at"] = START + np.arange(len(one)) / PER_S + 0.04
    one.loc[HELD[0], "finished_at"] = START + RETURNED_S
    assert measured(tasks=one)["recovered_s"] == pytest.approx(RETURNED_S - KILLED_S, abs=0.6)


def test_a_backlog_that_never_rose_was_made_good_at_once() -> None:
    calm = tasks()
    calm["finished_at"] = START + np.arange(len(calm)) / PER_S + 0.04
    assert measured(tasks=calm)["recovered_s"] == 0


def test_a_backlog_that_does_not_come_back_before_the_load_ends_is_not_made_good() -> None:
    stuck = tasks()
    late = stuck["finished_at"] >= START + KILLED_S
    stuck.loc[late, "finished_at"] = START + 41
    assert measured(tasks=stuck)["recovered_s"] is None


def test_a_fault_at_the_very_start_has_no_baseline_and_says_so() -> None:
    early = [
        {**one, "at": START + 1} if one["event"].startswith("fault_") else one for one in events()
    ]
    fault = measured(telemetry=replace(TELEMETRY, events=early))
    assert (fault["baseline_per_s"], fault["dip"]) == (None, None)


def test_the_first_sign_names_who_noticed_and_when() -> None:
    fault = measured()
    assert fault["noticed"] == {"sign": "worker-1 could not be scraped", "after_s": 0.25}
    assert [(one["sign"], one["after_s"]) for one in fault["signs"]] == [
        ("worker-1 could not be scraped", 0.25),
        ("the ledger shows tasks back from a claim that was lost or given up", 10.0),
        ("relay counts claims taken back from a lost worker", 10.25),
    ]


def test_a_scrape_of_a_process_that_was_not_struck_may_fail_by_chance() -> None:
    signs = signs_of(TELEMETRY, START + KILLED_S, START + 40, process="relay")
    assert not [sign for sign in signs if "scraped" in sign.what]


def test_a_sign_that_was_there_just_before_is_of_something_else() -> None:
    before = metric("ready", {"api": [(8, 1), (9.5, 0), (10.5, 1), (11, 0)]})
    telemetry = Telemetry({"ready": before}, None, events())
    assert signs_of(telemetry, START + KILLED_S, START + 40) == []


def test_tasks_are_counted_in_the_span_in_which_they_were_hit() -> None:
    fault = measured()
    hit = {name: fault[name] for name in ("retried", "redelivered", "run_twice", "dead_lettered")}
    assert hit == {"retried": 0, "redelivered": 2, "run_twice": 2, "dead_lettered": 0}
    assert count_endings(witness()) == hit


def test_submissions_without_an_answer_are_counted_where_they_were_given_up() -> None:
    sent = history()
    sent.loc[[205, 206], "outcome"] = "unknown"
    sent.loc[[3], "outcome"] = "unknown"
    assert measured(history=sent)["unanswered"] == 2


def test_a_run_without_a_witness_does_not_know_what_became_of_tasks() -> None:
    fault = measured(telemetry=replace(TELEMETRY, witness=None))
    assert fault["redelivered"] is None


def test_a_fault_that_began_before_the_one_before_it_was_made_good_is_not_alone() -> None:
    second = [{**one, "at": one["at"] + 5, "number": 2} for one in events() if "number" in one]
    telemetry = replace(TELEMETRY, events=[*events(), *second])
    first, other = measure_faults(phase(), history(), tasks(), telemetry)
    assert first["alone"]
    assert not other["alone"]


def test_a_span_ends_where_the_next_fault_begins() -> None:
    first = struck_faults(events())[0]
    second = replace(first, number=2, started_at=first.started_at + 5)
    ends = START + 41
    assert spans_of([first, second], ends) == [
        (first.started_at, second.started_at),
        (second.started_at, ends),
    ]
    assert spans_of([], ends) == []


def test_a_task_whose_submission_nobody_knows_is_in_no_backlog() -> None:
    sent = history()
    sent.loc[[0, 1], "task_id"] = None
    load = Load.of(sent, tasks())
    assert load.backlog(np.array([START - 1, START + 5, START + 39.96])).tolist() == [0, 1, 1]
