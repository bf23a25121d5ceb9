"""The notebook under papermill's own command, without the lab's checks before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
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
