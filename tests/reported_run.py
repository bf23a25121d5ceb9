"""A run with its whole report, made once for all tests that only read one."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.summary import summarise

from .once import made_once
from .run_folders import FakeRun, write_run

_NAME = Path("throughput") / "20260102T030405Z-0123456-abcd"


def reported_run(factory: pytest.TempPathFactory) -> Path:
    """The run's folder; it is shared, so tests that change anything work on a copy."""
    return made_once(factory, "reported", lambda results: _make(results / _NAME)) / _NAME


def _make(folder: Path) -> None:
    write_run(folder, FakeRun())
    summarise(folder)
    draw(folder)
    render_html(folder)
