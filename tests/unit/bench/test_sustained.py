"""What counts as keeping up with arrivals."""

from __future__ import annotations

import pytest
from task_lab.bench.latency import is_sustained


@pytest.mark.parametrize(("behind_s", "kept_up"), [(0.0, True), (0.25, True), (0.3, False)])
def test_a_platform_that_keeps_up_is_soon_done_with_the_last_arrival(
    behind_s: float, kept_up: bool
) -> None:
    assert is_sustained(last_due_at=100.0, last_finished_at=100.0 + behind_s) is kept_up
