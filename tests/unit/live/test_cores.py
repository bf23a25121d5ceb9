"""Cores in use, from counters of CPU seconds."""

from __future__ import annotations

from typing import Any

import pytest
from task_lab.live.cores import Cores


def sample(at: float, busy_s: float, **cpu_s: float) -> dict[str, Any]:
    groups = {name: {"cpu_s": value, "processes": 1} for name, value in cpu_s.items()}
    return {"at": at, "machine": {"cpu": {"busy_s": [busy_s, busy_s]}}, "groups": groups}


def test_use_is_what_was_counted_in_the_last_two_seconds() -> None:
    cores = Cores()
    for n in range(20):
        at = n / 2
        slow = max(0.0, at - 5) * 0.1
        cores.sample(sample(at, busy_s=at * 0.75, api=at * 0.4 + slow, worker=at * 0.9))
    used = cores.used(9.6)
    assert list(used) == ["worker", "api"]
    assert used == pytest.approx({"worker": 0.9, "api": 0.5})
    busy = cores.busy(9.6)
    assert busy is not None
    assert busy == pytest.approx((1.5, 2))


def test_nothing_is_said_of_one_sample_or_of_old_ones() -> None:
    cores = Cores()
    cores.sample(sample(1, 0, api=0))
    assert (cores.used(1), cores.busy(1)) == ({}, None)
    cores.sample(sample(2, 1, api=1))
    assert cores.used(2) == {"api": 1.0}
    assert (cores.used(60), cores.busy(60)) == ({}, None)


def test_a_part_that_was_started_anew_is_left_out_until_seen_twice() -> None:
    cores = Cores()
    cores.sample(sample(1, 0, api=50, worker=1))
    cores.sample(sample(2, 1, api=0.2, relay=3, worker=2))
    assert cores.used(2) == {"worker": 1.0}


def test_a_line_without_counters_is_left_out() -> None:
    cores = Cores()
    for line in ({}, {"at": 1, "groups": None}, {"at": 1, "groups": {"api": 3}, "machine": {}}):
        cores.sample(line)
    assert cores.used(1) == {}
