"""Why figures of a machine are shaky, each reason for itself."""

from __future__ import annotations

from typing import Any

import pytest
from task_lab.collect.unstable import unstable

STEADY: dict[str, Any] = {
    "processor": {"governor": "performance", "turbo": False, "steal_share": 0.0},
    "limits": {"cpu_quota_cores": None},
    "load": {"load_average": [0.2, 4.0, 9.0]},
    "memory": {"swap_used_bytes": 0},
}


def with_fact(group: str, name: str, value: object) -> dict[str, Any]:
    return {**STEADY, group: {**STEADY[group], name: value}}


def test_a_steady_machine_has_no_reason() -> None:
    assert unstable(STEADY) == []
    assert unstable(STEADY, steal_share=0.01) == []


@pytest.mark.parametrize(
    ("group", "name", "value", "words"),
    [
        ("processor", "governor", "powersave", "governor is powersave"),
        ("processor", "turbo", True, "turbo is on"),
        ("processor", "steal_share", 0.02, "2.0% of the time since the boot"),
        ("limits", "cpu_quota_cores", 1.5, "limited to 1.5 cores"),
        ("load", "load_average", [0.51, 0, 0], "load average was 0.51"),
        ("memory", "swap_used_bytes", 3 * 2**20, "3 MiB"),
    ],
)
def test_each_fact_is_a_reason(group: str, name: str, value: object, words: str) -> None:
    (reason,) = unstable(with_fact(group, name, value))
    assert words in reason


def test_the_share_over_the_run_says_more_than_the_one_since_the_boot() -> None:
    stolen_before = with_fact("processor", "steal_share", 0.3)
    assert unstable(stolen_before, steal_share=0.0) == []
    (reason,) = unstable(STEADY, steal_share=0.05)
    assert "5.0% of the time over the run" in reason


def test_what_is_not_known_is_no_reason() -> None:
    nothing = {group: dict.fromkeys(facts) for group, facts in STEADY.items()}
    assert unstable(nothing) == []
    assert unstable({"cpu": "of a run of an earlier version"}) == []
