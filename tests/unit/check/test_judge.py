"""From evidence on disk to a verdict on disk: a run that ended early is never green."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.check.judge import judge_run
from task_lab.check.verdict import Verdict
from task_lab.store import RunFolder, create_run

DATA = ("history.jsonl", "events.jsonl", "load.json", "tasks.parquet", "summary.json")


def finished_run(results: Path, *, verdict: str = "PASS", ended: str = "completed") -> RunFolder:
    folder = create_run("throughput", {}, results=results)
    for name in DATA:
        (folder / name).write_text("{}" if name.endswith(".json") else "")
    check = {"name": "none_lost", "verdict": verdict, "detail": "2 accepted tasks have no row"}
    folder.write_json("checks.json", {"verdict": verdict, "checks": [check]})
    folder.update_run(ended=ended)
    return folder


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "UNKNOWN", "INVALID"])
def test_a_whole_run_gets_the_verdict_of_its_checks(tmp_path: Path, verdict: str) -> None:
    folder = finished_run(tmp_path, verdict=verdict)
    assert judge_run(folder) == verdict
    assert folder.run()["verdict"] == verdict


@pytest.mark.parametrize(
    ("observed", "verdict"), [("PASS", "PASS"), ("FAIL", "FAIL"), ("UNKNOWN", "UNKNOWN")]
)
def test_an_objective_that_was_not_met_or_not_measured_decides(
    tmp_path: Path, observed: str, verdict: str
) -> None:
    folder = finished_run(tmp_path)
    objective = {"name": "queue_wait_p95_s", "where": "sum, 1 worker", "min": None, "max": 0.1}
    objective |= {"observed": 0.2, "verdict": observed}
    folder.write_json("summary.json", {"objectives": [objective]})
    assert judge_run(folder) == verdict
    told = "objective queue_wait_p95_s at sum, 1 worker: at most 0.1, observed 0.2"
    assert folder.run()["reason"] == ("" if verdict == "PASS" else told)


@pytest.mark.parametrize("name", ["checks.json", "summary.json"])
def test_a_run_whose_document_was_cut_is_invalid(tmp_path: Path, name: str) -> None:
    folder = finished_run(tmp_path)
    (folder / name).write_text('{"verdict": "PA')
    assert judge_run(folder) is Verdict.INVALID
    assert name in folder.run()["reason"]


def test_what_was_wrong_is_said_beside_the_verdict(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, verdict="FAIL")
    judge_run(folder)
    assert folder.run()["reason"] == "none_lost: 2 accepted tasks have no row"


@pytest.mark.parametrize("name", [*DATA, "checks.json"])
def test_a11_a_run_that_lacks_an_output_is_invalid(tmp_path: Path, name: str) -> None:
    folder = finished_run(tmp_path)
    (folder / name).unlink()
    assert judge_run(folder) is Verdict.INVALID
    assert name in folder.run()["reason"]


@pytest.mark.parametrize("ended", ["completed", "crashed", "interrupted"])
def test_a_proven_failure_stands_whatever_became_of_the_run(tmp_path: Path, ended: str) -> None:
    folder = finished_run(tmp_path, verdict="FAIL", ended=ended)
    (folder / "summary.json").unlink()
    assert judge_run(folder) is Verdict.FAIL
    assert folder.run()["verdict"] == "FAIL"
    assert folder.run()["reason"].startswith("none_lost")


@pytest.mark.parametrize(
    ("ended", "verdict"), [("crashed", Verdict.UNKNOWN), ("interrupted", Verdict.INTERRUPTED)]
)
def test_a_run_that_ended_early_is_never_green(
    tmp_path: Path, ended: str, verdict: Verdict
) -> None:
    folder = finished_run(tmp_path, ended=ended)
    folder.update_run(verdict=verdict)
    assert judge_run(folder) is verdict
    assert folder.run()["verdict"] == verdict
