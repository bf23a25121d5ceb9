"""What a worker has in hand."""

from __future__ import annotations

from datetime import timedelta

from ...factories import NOON, assignment


def test_times_are_told_by_the_claim_and_a_clock_that_does_not_step() -> None:
    in_hand = assignment()
    assert in_hand.at(in_hand.claimed_mono) == NOON
    assert in_hand.at(in_hand.claimed_mono + 1.5) == NOON + timedelta(seconds=1.5)
    assert in_hand.now() >= NOON
