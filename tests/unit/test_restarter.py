"""How long a process that died stays down."""

from __future__ import annotations

import pytest
from task_lab.runtime.restarter import AT_ONCE, GROWING, Pauses


@pytest.mark.parametrize(("deaths", "pause_s"), [(1, 0.5), (2, 1), (3, 2), (7, 30), (10_000, 30)])
def test_the_pause_grows_with_every_death_in_a_row(deaths: int, pause_s: float) -> None:
    assert GROWING.after(deaths) == pause_s


@pytest.mark.parametrize("deaths", [1, 2, 10_000])
def test_without_pauses_it_is_at_once(deaths: int) -> None:
    assert AT_ONCE.after(deaths) == 0


def test_no_pause_is_longer_than_the_longest() -> None:
    assert Pauses(first_s=5, most_s=3).after(1) == 3
