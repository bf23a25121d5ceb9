from pathlib import Path

import pytest
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.summary import summarise

from ...run_folders import FakeRun, write_run


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its whole report, shared: tests only read it."""
    folder = tmp_path_factory.mktemp("results") / "throughput" / "20260102T030405Z-0123456-abcd"
    write_run(folder, FakeRun())
    summarise(folder)
    draw(folder)
    render_html(folder)
    return folder
