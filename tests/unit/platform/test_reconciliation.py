"""When a difference between two lists is acted on, and which messages stay in a queue."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.reconciliation import Suspicion, Tally

IDS = st.integers(0, 12).map(lambda number: UUID(int=number))


@pytest.mark.parametrize(
    ("looks", "acts"),
    [
        ([(3, 3, False)] * 9, []),
        ([(3, 2, False), (3, 3, False), (3, 2, False)], []),
        ([(3, 2, False), (3, 2, False)], [1]),
        ([(3, 2, False), (4, 9, False)], [1]),
        ([(3, 2, True)] * 5, [4]),
        ([(3, 2, True), (3, 2, True), (3, 2, False)], [2]),
        ([(3, 2, True)] * 4 + [(3, 3, True), (3, 2, True)], []),
    ],
)
def test_a_difference_has_to_stand(looks: list[tuple[int, int, bool]], acts: list[int]) -> None:
    suspicion = Suspicion()
    confirmed = [
        suspicion.is_confirmed_by(listed=listed, queued=queued, are_underway=underway)
        for listed, queued, underway in looks
    ]
    assert [look for look, acted in enumerate(confirmed) if acted] == acts


def test_what_was_acted_on_has_to_stand_anew() -> None:
    suspicion = Suspicion()
    for _ in range(2):
        assert not suspicion.is_confirmed_by(listed=1, queued=0, are_underway=False)
        assert suspicion.is_confirmed_by(listed=1, queued=0, are_underway=False)
        suspicion.drop()


@given(
    expected=st.sets(IDS),
    came_later=st.sets(IDS),
    batches=st.lists(st.lists(IDS, max_size=6), max_size=6),
    gone=st.sets(IDS),
)
def test_after_a_pass_the_queue_holds_each_wanted_id_once(
    expected: set[UUID], came_later: set[UUID], batches: list[list[UUID]], gone: set[UUID]
) -> None:
    wanted = (expected | came_later) - gone
    tally = Tally()
    tally.expect(expected)
    kept = [each for batch in batches for each in tally.sift(batch, wanted)]
    after = Counter([*kept, *(each for each in tally.missing() if each in wanted)])
    seen = {each for batch in batches for each in batch}
    assert set(after) == wanted & (expected | seen)
    assert set(after.values()) <= {1}
