"""How long a task that must run alone waits for its neighbours to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.isolation import patience_s


def test_the_first_wait_is_one_lease_and_each_loss_in_company_doubles_it() -> None:
    assert [patience_s(10, losses) for losses in range(5)] == [10, 10, 20, 40, 80]


@given(st.integers(0, 2**31), st.floats(0.1, 3_600))
def test_it_never_becomes_less_and_has_an_end(losses: int, lease_s: float) -> None:
    wait_s = patience_s(lease_s, losses)
    assert lease_s <= wait_s <= patience_s(lease_s, losses + 1) <= 256 * lease_s
