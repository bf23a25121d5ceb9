"""The state machine: what the table says, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.task import State
from task_platform.domain.transitions import (
    TERMINAL,
    TRANSITIONS,
    Event,
    IllegalTransition,
    next_state,
    sources,
    target,
)


def test_terminal_states_are_those_that_nothing_leaves() -> None:
    assert {State.SUCCEEDED, State.FAILED, State.CANCELLED} == TERMINAL


@given(st.sampled_from(sorted(TERMINAL)), st.sampled_from(list(Event)))
def test_terminal_states_never_change(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition):
        next_state(state, event)


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_every_walk_stays_inside_the_table(events: list[Event]) -> None:
    state = State.QUEUED
    for event in events:
        try:
            after = next_state(state, event)
        except IllegalTransition as error:
            assert (error.state, error.event) not in TRANSITIONS
            continue
        assert state.value in sources(event)
        assert after.value == target(event)
        state = after


def test_only_a_queued_task_can_be_claimed() -> None:
    assert sources(Event.CLAIMED) == [State.QUEUED]
