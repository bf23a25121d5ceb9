"""The state machine as a table. A missing key is the error; SQL takes its prior states here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from task_platform.domain.task import State


class Event(StrEnum):
    """What can happen to a task."""

    CLAIMED = "claimed"
    COMPLETED = "completed"
    FAILED_RETRYABLE = "failed_retryable"
    EXHAUSTED = "exhausted"
    LEASE_EXPIRED = "lease_expired"
    GIVEN_BACK = "given_back"
    CANCEL = "cancel"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.QUEUED, Event.CLAIMED): State.PROCESSING,
        (State.PROCESSING, Event.COMPLETED): State.SUCCEEDED,
        (State.PROCESSING, Event.FAILED_RETRYABLE): State.QUEUED,
        (State.PROCESSING, Event.EXHAUSTED): State.FAILED,
        (State.PROCESSING, Event.LEASE_EXPIRED): State.QUEUED,
        (State.PROCESSING, Event.GIVEN_BACK): State.QUEUED,
        (State.PROCESSING, Event.CANCEL): State.CANCELLED,
        (State.QUEUED, Event.CANCEL): State.CANCELLED,
    }
)

TERMINAL: frozenset[State] = frozenset(State) - {state for state, _ in TRANSITIONS}


class IllegalTransition(ValueError):
    """The event cannot happen to a task in this state."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a {state} task")
        self.state = state
        self.event = event


def next_state(state: State, event: Event) -> State:
    """The state after the event. Raises IllegalTransition where the table has no entry."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None


def sources(event: Event) -> list[str]:
    """The states in which the event may happen, for `state = any($n)` in SQL."""
    return [state.value for state, candidate in TRANSITIONS if candidate is event]


def target(event: Event) -> str:
    """The one state the event leads to, whatever the source."""
    (state,) = {after for (_, candidate), after in TRANSITIONS.items() if candidate is event}
    return state.value
