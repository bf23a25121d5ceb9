"""Tests that need a container engine: how they are marked, and when they may be skipped."""

from __future__ import annotations

import os

import pytest
from task_lab.runtime.compose.engine import NoEngine, engine_problem

_COMPOSE = (pytest.mark.compose, pytest.mark.timeout(300))
# There is one project of the lab, and one of the tests' own: what needs the same runs in turn.
LAB = [*_COMPOSE, pytest.mark.xdist_group("lab")]
USERS = [*_COMPOSE, pytest.mark.xdist_group("users")]


def engine_or_skip() -> None:
    """Skip, with the reason, only where it is proven that no engine can be used."""
    if problem := engine_problem():
        if os.environ.get("CI"):
            raise NoEngine(problem)
        pytest.skip(f"no container engine: {problem}")
