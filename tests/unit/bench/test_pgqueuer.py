"""When a drain of the peer's counts, and what it is told."""

from __future__ import annotations

import msgspec
import pytest
from task_lab.bench.drained import Drained
from task_lab.bench.pgqueuer import PeerFailed, Told, drained, variables

WHOLE = Told(
    enqueued=50,
    succeeded=50,
    successes=50,
    others=0,
    queued=0,
    released_at=100.0,
    ended_at=102.0,
)


def test_a_drain_in_which_every_job_succeeded_once_counts() -> None:
    assert drained(50, WHOLE) == Drained(50, 100.0, 102.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"enqueued": 49},
        {"succeeded": 49, "successes": 50},
        {"successes": 51},
        {"others": 1},
        {"queued": 1},
        {"ended_at": None},
    ],
)
def test_any_other_does_not(changes: dict[str, int | None]) -> None:
    told = msgspec.structs.replace(WHOLE, **changes)
    with pytest.raises(PeerFailed) as caught:
        drained(50, told)
    assert caught.value.told == told


def test_the_callers_own_settings_of_the_peer_do_not_leak_in() -> None:
    found = variables(
        {"PATH": "/bin", "PGQUEUER_DURABILITY": "volatile", "PGQUEUER_PREFIX": "x"}, "u"
    )
    assert found == {
        "PATH": "/bin",
        "BENCH_DATABASE_URL": "u",
        "PGQUEUER_SCHEMA": "task_lab_pgqueuer",
        "PGQUEUER_DURABILITY": "durable",
    }
