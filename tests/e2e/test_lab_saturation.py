"""Saturation, from its command to its report, on real processes: a search, a ladder, a knee."""

from __future__ import annotations

import pytest
from task_lab.check.verdict import Verdict
from task_lab.doctor import examine
from task_lab.execute import execute_run
from task_lab.notebook import missing_outputs
from task_lab.run import new_run
from task_lab.store import RunFolder

from .definitions import shortened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]

# Two places of 50 ms each: 40 tasks/s and no more, which no machine here is too busy for.
CHANGES = {
    'name = "saturation"': 'name = "short"',
    "warmup_tasks = 500": "warmup_tasks = 20",
    "floor_tasks = 20000": "floor_tasks = 200",
    "start_per_s = 400": "start_per_s = 20",
    "precision = 0.03": "precision = 0.6",
    "longest_step_s = 24": "longest_step_s = 5",
    'WORKER_CONCURRENCY = "10"': 'WORKER_CONCURRENCY = "2"',
    "seconds = 0.02": "seconds = 0.05",
    "slept_s = 0.02": "slept_s = 0.05",
    # A short step on a busy machine: what is proven here is the overload.
    "queue_wait_p95_s = { max = 0.1 }": "queue_wait_p95_s = { max = 0.7 }",
    "end_to_end_p99_s = { max = 0.5 }": "end_to_end_p99_s = { max = 2.0 }",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("saturation")
    asked = {"probe_s": 3.0, "step_s": 5.0, "fractions": "0.2,3.0", "arrivals": "constant"}
    made = new_run(shortened("saturation", folder, CHANGES), asked, results=folder)
    execute_run(made, asked)
    return made


def test_every_task_of_every_probe_and_step_is_accounted_for(run: RunFolder) -> None:
    checks = {one["name"]: one for one in run.read_json("checks.json")["checks"]}
    red = {name for name, one in checks.items() if one["verdict"] != Verdict.PASS}
    assert red <= {"generator_not_the_limit"}  # a busy machine may turn it red
    counts = run.read_json("summary.json")["counts"]
    assert counts["client"] == counts["ledger"] == counts["prometheus"]
    assert missing_outputs(run.path) == []


def test_the_search_ends_with_a_rate_below_what_the_worker_can_do(run: RunFolder) -> None:
    (found,) = run.read_json("summary.json")["search"]["found"]
    assert 4 < found["rate_per_s"] <= 42
    assert found["probes"] == len(run.read_json("summary.json")["search"]["probes"])


def test_the_ladder_shows_the_knee(run: RunFolder) -> None:
    summary = run.read_json("summary.json")
    low, high = summary["points"]
    assert (low["fraction"], high["fraction"]) == (0.2, 3.0)
    assert [step["verdict"] for step in summary["steps"]] == ["PASS", "FAIL"]
    assert high["achieved_over_offered"] < 0.99 <= low["achieved_over_offered"]
    assert high["end_to_end_s"]["p95"] > 5 * low["end_to_end_s"]["p50"]
    (knee,) = summary["knees"]
    assert knee["offered_per_s"] == low["offered_per_s"]
    assert knee["first_missed"]
    assert [one["verdict"] for one in summary["objectives"]] == ["PASS"]
