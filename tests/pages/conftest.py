"""Every test that opens a page also proves that the page loads nothing and complains of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from task_lab.report.index import rebuild_index
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.summary import summarise

from ..run_folders import FakeRun, write_run
from .browser import Pages, chromium
from .index_runs import several, write_all


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser a module. It must be gone before other tests run: it keeps an event loop."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    pages = Pages(browser)
    yield pages
    pages.close()
    assert [url for url in pages.witness.requests if not url.startswith("file:")] == []
    assert pages.witness.complaints == []


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of `several` runs; tests only read it."""
    results = tmp_path_factory.mktemp("results")
    write_all(results, several())
    return rebuild_index(results)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with all its parts; tests only read it."""
    folder = tmp_path_factory.mktemp("results") / "throughput" / "20260102T030405Z-0123456-abcd"
    rates = {("sum", 1): 2900.0, ("sum", 3): 2700.0}
    write_run(folder, FakeRun(rounds=2, tasks=60, drain_tasks=60, rates=rates))
    summarise(folder)
    draw(folder)
    return render_html(folder)
