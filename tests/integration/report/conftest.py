from pathlib import Path

import pytest

from ...reported_run import reported_run


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its whole report, shared: tests only read it."""
    return reported_run(tmp_path_factory)
