"""How generated examples are put to a running API."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(count: int, *, repeatable: bool) -> settings:
    """So many examples, each in its own time, and none remembered from an earlier run.

    repeatable: the same ones in every run.
    """
    return settings(
        max_examples=count,
        derandomize=repeatable,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
