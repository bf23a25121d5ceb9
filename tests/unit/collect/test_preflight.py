"""Reading counters off an exposition."""

from __future__ import annotations

import pytest
from task_lab.collect.preflight import ScrapedTooRarely, check_ranges, read_counters

TEXT = """
# TYPE worker_tasks_processed_total counter
worker_tasks_processed_total{task_type="sum"} 3
worker_tasks_processed_total{task_type="echo"} 0
# TYPE worker_tasks_running gauge
worker_tasks_running 7
# TYPE worker_tasks_processed_created gauge
worker_tasks_processed_created{task_type="sum"} 1.7e9
"""


def test_only_counters_are_read_by_name_and_labels() -> None:
    assert read_counters(TEXT) == {
        ("worker_tasks_processed_total", (("task_type", "sum"),)): 3,
        ("worker_tasks_processed_total", (("task_type", "echo"),)): 0,
    }


@pytest.mark.parametrize(
    ("query", "is_carried"),
    [
        ("rate(x[15s])", False),
        ('rate(x{job="worker"}[59s])', False),
        ('rate(x{job="worker"}[60s])', True),
        ('rate(x{job="api"}[1s])', True),
        ('rate(x{job="api"}[999ms])', False),
        ('rate(x{job="not there yet"}[1s])', True),
        ("rate(x[59s])", False),
        ("max_over_time(up[2m:1s])", True),
        ("up", True),
    ],
)
def test_b3_a_range_that_holds_too_few_scrapes_is_refused(query: str, is_carried: bool) -> None:
    intervals_s = {"worker": 15.0, "api": 0.25}
    if is_carried:
        check_ranges(query, intervals_s)
    else:
        with pytest.raises(ScrapedTooRarely) as refused:
            check_ranges(query, intervals_s)
        assert refused.value.exit_code == 4


def test_the_start_of_the_process_is_read_with_the_counters() -> None:
    text = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.5e9\n"
    assert read_counters(text) == {("process_start_time_seconds", ()): 1.5e9}
