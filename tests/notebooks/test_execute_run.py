"""A notebook's end and the verdict it leaves in run.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from task_lab import execute as execute_module
from task_lab.check.verdict import Verdict
from task_lab.errors import LabError
from task_lab.execute import execute_run
from task_lab.history import read_history
from task_lab.notebook import CellFailed, CellTimedOut, EndedEarly, KernelDied
from task_lab.run import new_run
from task_lab.store import RunFolder

PARAMETERS = 'run_folder: str = ""\ntasks: int = 2000'
OPEN = "from task_lab.run import open_experiment\n" + (
    'exp = open_experiment("throughput", run_folder=run_folder, tasks=tasks)'
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A prepared run whose notebook is in the test's own folder."""
    monkeypatch.setattr(execute_module, "NOTEBOOKS", tmp_path)
    return new_run("throughput", {"tasks": 50}, results=tmp_path / "results")


def write_notebook(folder: Path, *sources: str) -> None:
    cells: list[dict[str, Any]] = [
        {
            "id": f"cell-{number}",
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]} if number == 0 else {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate([PARAMETERS, *sources])
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "01_throughput.ipynb").write_text(json.dumps(notebook))


@pytest.mark.parametrize(
    ("cells", "error", "verdict", "exit_code"),
    [
        (["import sys; sys.exit(0)"], EndedEarly, "INVALID", 4),
        (["%nosuchmagic", "1"], CellFailed, "UNKNOWN", 70),
        ([OPEN, "1 / 0"], CellFailed, "UNKNOWN", 70),
        (
            ["from task_lab.errors import InvalidRun; raise InvalidRun('a replica is missing')"],
            CellFailed,
            "INVALID",
            4,
        ),
        (["raise KeyboardInterrupt"], CellFailed, "INTERRUPTED", 130),
        (["import os; os._exit(1)"], KernelDied, "UNKNOWN", 2),
    ],
    ids=["A11 exit", "A9 magic", "error", "invalid", "interrupt", "A7 kernel death"],
)
def test_a7_a9_a11_a_notebook_that_ends_early_is_never_green(
    run: RunFolder,
    tmp_path: Path,
    cells: list[str],
    error: type[LabError],
    verdict: str,
    exit_code: int,
) -> None:
    write_notebook(tmp_path, *cells)
    with pytest.raises(error) as raised:
        execute_run(run, {"tasks": 50})
    assert raised.value.exit_code == exit_code
    found = run.run()
    assert found["verdict"] == verdict
    assert found["ended"] == ("interrupted" if verdict == "INTERRUPTED" else "crashed")
    assert found["reason"]
    page = (run.path / "report.html").read_text("utf-8")
    assert f"{verdict}</span>" in page
    assert "PASS</span>" not in page


OFFER = """
from pathlib import Path
from task_lab.load.processes import Generator, Stub
from task_lab.load.wire import Load

folder = Path(run_folder)
with Generator(folder / "log") as generator, Stub(folder / "stub") as stub:
    generator.offer(
        Load(phase="p", api_url=stub.url, bodies=["{}"], tasks=10**6, in_flight=4,
             history=str(folder / "history.jsonl"))
    )
"""
# Enough to start the load's processes, also where the machine is busy.
CELL_S = 10.0


def test_a7_a_cell_over_its_time_stops_the_load_and_leaves_its_history(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute_module, "_OTHER_WORK_S", CELL_S)
    monkeypatch.setattr(execute_module, "time_limit_s", lambda _: 0.0)
    write_notebook(tmp_path, OFFER, "1")
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(CellTimedOut) as raised:
        execute_run(run, {"tasks": 50})
    assert raised.value.exit_code == 2
    assert set(psutil.Process().children(recursive=True)) <= before
    assert (run.run()["verdict"], run.run()["ended"]) == ("UNKNOWN", "crashed")
    sent = list(read_history(run / "history.jsonl"))
    assert len(sent) > 500
    assert "UNKNOWN</span>" in (run / "report.html").read_text("utf-8")


def test_an_end_after_the_verdict_takes_the_verdict_back(run: RunFolder, tmp_path: Path) -> None:
    judged = 'exp._folder.update_run(verdict="PASS", ended="completed")'
    write_notebook(tmp_path, OPEN, judged, "1 / 0")
    with pytest.raises(CellFailed):
        execute_run(run, {"tasks": 50})
    assert (run.run()["verdict"], run.run()["ended"]) == ("UNKNOWN", "crashed")


def test_a_notebook_that_does_nothing_is_invalid(run: RunFolder, tmp_path: Path) -> None:
    write_notebook(tmp_path, OPEN, "exp.close()")
    assert execute_run(run, {"tasks": 50}) is Verdict.INVALID
    assert "checks.json" in run.run()["reason"]


def test_the_notebook_gets_the_folder_and_what_was_asked(run: RunFolder, tmp_path: Path) -> None:
    write_notebook(
        tmp_path, "import json; print(json.dumps({'folder': run_folder, 'tasks': tasks}))"
    )
    execute_run(run, {"tasks": 50})
    cells = run.read_json("report.ipynb")["cells"]
    (output,) = (output for cell in cells for output in cell.get("outputs", []))
    assert json.loads("".join(output["text"])) == {"folder": str(run.path), "tasks": 50}
