"""The report of a run with faults, from a folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_lab.check.judge import check_run
from task_lab.ipynb import code_cells, read_notebook, tags
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.sections import section_html
from task_lab.report.summary import summarise
from task_lab.store import PROJECT, RunFolder

from ...disturbed import HELD, TASKS, write_disturbed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_disturbed(tmp_path_factory.mktemp("results") / "faults" / "run")
    check_run(RunFolder(path))
    summarise(path)
    draw(path)
    return path


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return found


def test_every_check_passes_from_the_folder_alone(folder: Path) -> None:
    checks = json.loads((folder / "checks.json").read_text("utf-8"))["checks"]
    assert [one["detail"] for one in checks if one["verdict"] != "PASS"] == []


def test_the_summary_tells_what_the_fault_did_and_what_prometheus_lacks(folder: Path) -> None:
    summary = summary_of(folder)
    (fault,) = summary["faults"]
    assert (fault["kind"], fault["target"], fault["alone"]) == ("kill", "worker-1", True)
    assert (fault["redelivered"], fault["run_twice"]) == (len(HELD), len(HELD))
    assert summary["history"]["ok"] == TASKS
    assert summary["counts"] == {"client": TASKS, "ledger": TASKS, "prometheus": TASKS - 3}
    assert summary["headline"][0]["value"] == fault["recovered_s"]


def test_each_section_of_its_notebook_is_there(folder: Path) -> None:
    source = read_notebook(PROJECT / "notebooks" / "03_faults.ipynb")
    shown = {tag.removeprefix("section:") for cell in code_cells(source) for tag in tags(cell)}
    for name in shown - {"parameters", "resources"}:
        assert "Not available" not in section_html(folder, name), name


def test_the_page_shows_the_fault_who_noticed_it_and_three_figures(folder: Path) -> None:
    page = render_html(folder).read_text("utf-8")
    for text in ("kill worker-1", "could not be scraped", "run twice", "SIGKILL"):
        assert text in page
    assert page.count("<img") >= 3
    assert "kill worker-1" in (folder / "summary.md").read_text("utf-8")


def test_the_same_files_give_the_same_bytes(folder: Path) -> None:
    names = ["summary.json", *(f"figures/{path.name}" for path in draw(folder))]
    before = {name: (folder / name).read_bytes() for name in names}
    summarise(folder)
    draw(folder)
    assert {name: (folder / name).read_bytes() for name in names} == before
