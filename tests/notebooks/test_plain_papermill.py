"""The notebook under papermill's own command, without the lab's checks before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.iorw import read_yaml_file
from task_lab.store import PROJECT

NOTEBOOK = PROJECT / "notebooks" / "01_throughput.ipynb"


@pytest.mark.filterwarnings("ignore")  # papermill and zmq warn about each other
def test_a2_an_undeclared_name_starts_nothing(tmp_path: Path) -> None:
    """papermill warns and goes on with the defaults; the notebook refuses."""
    with pytest.raises(PapermillExecutionError, match="did you mean 'workers'"):
        execute_notebook(  # type: ignore[no-untyped-call]
            NOTEBOOK, tmp_path / "out.ipynb", {"wrokers": 3}, progress_bar=False, cwd=tmp_path
        )
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]


@pytest.mark.filterwarnings("ignore")
def test_a4_values_that_papermill_read_otherwise_than_declared_start_nothing(
    tmp_path: Path,
) -> None:
    """Its own parameter files (-f) are YAML 1.1: a word may become a boolean, a text a number."""
    (tmp_path / "p.yaml").write_text("runtime: on\nworkers: 3.10\ntasks: 2026-01-01\n")
    given = read_yaml_file(str(tmp_path / "p.yaml"))  # type: ignore[no-untyped-call]
    assert given == {"runtime": True, "workers": 3.1, "tasks": "2026-01-01"}
    with pytest.raises(PapermillExecutionError) as refused:
        execute_notebook(  # type: ignore[no-untyped-call]
            NOTEBOOK, tmp_path / "out.ipynb", given, progress_bar=False, cwd=tmp_path
        )
    for told in (
        "'runtime' must be str, not True",
        "'workers' must be str, not 3.1",
        "'tasks' must be int, not '2026-01-01'",
    ):
        assert told in refused.value.evalue
    assert {path.name for path in tmp_path.iterdir()} == {"p.yaml", "out.ipynb"}
