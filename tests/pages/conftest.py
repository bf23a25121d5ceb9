"""Every test that opens a page also proves that the page loads nothing and complains of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from task_lab.report.index import rebuild_index

from ..reported_run import reported_run
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
    return reported_run(tmp_path_factory) / "report.html"
