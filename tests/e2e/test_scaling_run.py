"""The scaling notebook on a real stack, as small as it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.doctor import examine
from task_lab.execute import execute_run
from task_lab.run import new_run
from task_lab.store import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]


def test_e16_the_notebook_runs_with_few_counts_and_says_why_there_is_no_law(
    tmp_path: Path,
) -> None:
    asked = {
        "tasks": 20,
        "rounds": 1,
        "drains": 2,
        "drain_tasks": 60,
        "workers": "1,3",
        "workloads": "sleep",
        "wanted_per_s": 100.0,
    }
    run = new_run("scaling", asked, results=tmp_path)
    execute_run(run, asked)
    folder = RunFolder(run.path)
    checks = folder.read_json("checks.json")
    # the machine the tests run on may be too busy for its figures to be worth something
    red = {one["name"] for one in checks["checks"] if one["verdict"] != "PASS"}
    assert red <= {"generator_not_the_limit"}
    summary = folder.read_json("summary.json")
    (law,) = summary["usl"]
    assert law["refused"] == "2 usable worker counts (1, 3), 6 needed for a fit"
    (speedup,) = summary["speedups"]
    assert speedup["workers"] == [1, 3]
    assert speedup["ratio"] > 1
    assert speedup["reason"] == "2 a side, 6 needed for an interval"
    assert {one["workers"] for one in summary["sizing"]} == {None}
    page = (folder / "report.html").read_text("utf-8")
    assert "no law: 2 usable worker counts (1, 3)" in page
    assert (folder / "figures" / "law-sleep.png").is_file()
