"""Tests that need a container engine: how they are marked, and when they may be skipped."""

from __future__ import annotations

import os

import pytest
from task_lab.runtime.compose.engine import NoEngine, engine_problem

COMPOSE = [pytest.mark.compose, pytest.mark.timeout(300)]


def engine_or_skip() -> None:
    """Skip, with the reason, only where it is proven that no engine can be used."""
    if problem := engine_problem():
        if os.environ.get("CI"):
            raise NoEngine(problem)
        pytest.skip(f"no container engine: {problem}")
