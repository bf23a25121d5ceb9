"""Reading counters off an exposition."""

from __future__ import annotations

from task_lab.collect.preflight import read_counters

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
