"""Opening and closing a run; what happens in between needs a stack and is tested end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_lab.check.evidence import NeverCollected
from task_lab.check.judge import check_run
from task_lab.errors import UsageError
from task_lab.run import new_run, open_experiment
from task_lab.spec import definition_path
from task_lab.store import RunFolder


def test_a_new_run_knows_what_was_asked_and_what_that_means(tmp_path: Path) -> None:
    run = new_run("throughput", {"tasks": 50, "rounds": None}, results=tmp_path).run()
    assert run["params"]["asked"] == {"tasks": 50}
    assert run["params"]["resolved"]["tasks"] == 50
    assert run["params"]["resolved"]["workers"] == [1, 3]
    assert {"git", "machine", "versions", "runtime"} <= set(run)


def test_a_prepared_folder_is_taken_over_with_the_same_parameters(tmp_path: Path) -> None:
    folder = new_run("throughput", {"tasks": 50}, results=tmp_path)
    # the notebook repeats the defaults that nobody asked for
    exp = open_experiment("throughput", run_folder=folder.path, tasks=50, workers="1,3", seed=1)
    assert exp.folder == folder.path
    exp.close()


@pytest.mark.parametrize(
    ("name", "params", "problem"),
    [
        ("throughput", {"tasks": 51}, "other parameters"),
        ("throughput", {"wrokers": 1}, "did you mean 'workers'"),
    ],
)
def test_a_prepared_folder_is_refused_for_anything_else(
    tmp_path: Path, name: str, params: dict[str, Any], problem: str
) -> None:
    folder = new_run("throughput", {"tasks": 50}, results=tmp_path)
    with pytest.raises(UsageError, match=problem):
        open_experiment(name, run_folder=folder.path, **params)


@pytest.mark.parametrize("name", ["throughput", "mine"])
def test_a_definition_of_ones_own_is_taken_as_it_was_resolved(tmp_path: Path, name: str) -> None:
    """Whatever the notebook's own defaults are, and also where it kept the experiment's name."""
    text = definition_path("throughput").read_text("utf-8")
    text = text.replace('name = "throughput"', f'name = "{name}"')
    (tmp_path / "mine.toml").write_text(text.replace("tasks = 2000 ", "tasks = 30 "), "utf-8")
    folder = new_run(str(tmp_path / "mine.toml"), {}, results=tmp_path)
    exp = open_experiment("throughput", run_folder=folder.path, tasks=2000, workers="1,3", seed=1)
    assert exp.spec.workloads[0].tasks == 30
    exp.close()


def test_a_folder_that_holds_a_run_is_never_run_into_again(tmp_path: Path) -> None:
    exp = open_experiment("throughput", results=tmp_path)
    exp.close()
    with pytest.raises(UsageError, match="already holds a run"):
        open_experiment("throughput", run_folder=exp.folder)


def test_a_refused_parameter_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_experiment("throughput", results=tmp_path, wrokers=3)
    assert list(tmp_path.iterdir()) == []


def test_a_run_closed_before_it_was_collected_has_crashed(tmp_path: Path) -> None:
    exp = open_experiment("throughput", results=tmp_path)
    exp.close()
    exp.close()
    run = json.loads((exp.folder / "run.json").read_text())
    assert (run["ended"], run["verdict"]) == ("crashed", "UNKNOWN")
    assert [e["event"] for e in RunFolder(exp.folder).events()] == ["stopped"]


def test_judging_a_run_closed_early_is_not_green(tmp_path: Path) -> None:
    exp = open_experiment("throughput", results=tmp_path)
    exp.close()
    assert exp.judge() == "INVALID"


def test_checking_a_run_without_evidence_says_what_is_missing(tmp_path: Path) -> None:
    folder = new_run("throughput", {}, results=tmp_path)
    with pytest.raises(NeverCollected, match=r"ended before its evidence .*: no history\.jsonl"):
        check_run(folder)
