"""The load of a trial: drawn from a seed, with expectations that its own rules bear out."""

from __future__ import annotations

import pytest
from task_lab.chaos.load import DURATION_S, Submission, mixed_load

SEEDS = range(200)


def submissions(seed: int) -> list[Submission]:
    return [one for call in mixed_load(seed) for one in call.submissions]


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_a_seed_gives_the_same_load(seed: int) -> None:
    assert mixed_load(seed) == mixed_load(seed)
    assert mixed_load(seed) != mixed_load(seed + 1)


def test_a_load_has_its_size_its_length_and_keys_of_its_own() -> None:
    keys: set[str] = set()
    for seed in SEEDS:
        sent = submissions(seed)
        assert 150 <= len(sent) <= 250
        assert not keys & {one.key for one in sent}
        keys |= {one.key for one in sent}
        at = [call.at_s for call in mixed_load(seed)]
        assert at == sorted(at)
        assert at[0] >= 0
        assert at[-1] <= DURATION_S


def test_only_batches_hold_several() -> None:
    calls = [call for seed in SEEDS for call in mixed_load(seed)]
    assert all(call.is_batch or len(call.submissions) == 1 for call in calls)
    assert any(call.is_batch and len(call.submissions) > 10 for call in calls)


def test_whatever_is_to_succeed_may_lose_several_workers() -> None:
    """A trial has four faults and two crashes of three lost workers each, at most."""
    for seed in SEEDS:
        for one in submissions(seed):
            if one.expected == "SUCCEEDED":
                needed = one.payload.get("failures", one.payload.get("fail_first", 0))
                assert one.max_retries - needed >= 10


def test_whatever_is_to_fail_cannot_succeed() -> None:
    failing = [one for s in SEEDS for one in submissions(s) if one.expected == "FAILED"]
    assert {one.task_type for one in failing} == {"fail", "crash", "nobody.knows", "effect"}
    effects = [one for one in failing if one.task_type == "effect"]
    assert all(one.payload["fail_first"] > one.max_retries for one in effects)


def test_crashes_are_few_and_early() -> None:
    for seed in SEEDS:
        crashes = [
            call
            for call in mixed_load(seed)
            for one in call.submissions
            if one.task_type == "crash"
        ]
        assert len(crashes) <= 2
        assert all(call.at_s <= DURATION_S / 2 for call in crashes)
        assert all(one.max_retries <= 1 for one in submissions(seed) if one.task_type == "crash")


def test_some_give_up_and_some_are_sent_again() -> None:
    calls = [call for seed in SEEDS for call in mixed_load(seed)]
    assert any(call.tries == 1 for call in calls)
    assert any(call.tries > 1 for call in calls)
    assert any(call.is_replayed for call in calls)
