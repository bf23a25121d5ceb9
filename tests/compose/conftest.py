"""The stack of docker-compose.yml as users run it, under a project name of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..engine import engine_or_skip
from .stack import UserStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserStack]:
    """A fresh stack with one worker, whatever ran before; gone afterwards."""
    engine_or_skip()
    with UserStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
