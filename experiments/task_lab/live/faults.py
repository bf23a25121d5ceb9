"""The faults of a run as its events tell of them: planned, biting, healing, healed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from task_lab.progress import fault_text


class FaultState(StrEnum):
    """How far a fault has come."""

    PLANNED = "planned"
    STRIKING = "striking"
    BITING = "biting"
    MISSED = "no bite"
    HEALING = "healing"
    STUCK = "not healed"
    HEALED = "healed"
    SKIPPED = "skipped"


ACTIVE = (
    FaultState.STRIKING,
    FaultState.BITING,
    FaultState.MISSED,
    FaultState.HEALING,
    FaultState.STUCK,
)
_STEPS = {
    "fault_started": FaultState.STRIKING,
    "fault_injected": FaultState.BITING,
    "heal_started": FaultState.HEALING,
    "heal_failed": FaultState.STUCK,
    "fault_healed": FaultState.HEALED,
    "fault_skipped": FaultState.SKIPPED,
}


@dataclass(slots=True)
class LiveFault:
    """One fault. at_s, for_s: as planned, from the start of the load. The other times are unix."""

    kind: str
    target: str
    number: int | None = None
    at_s: float | None = None
    for_s: float | None = None
    state: FaultState = FaultState.PLANNED
    has_bitten: bool | None = None
    times: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What is done to whom: `kill of worker-2`, `broker_restart`."""
        return fault_text({"kind": self.kind, "target": self.target})

    @property
    def is_active(self) -> bool:
        """Begun, and not healed yet."""
        return self.state in ACTIVE

    @property
    def struck_at(self) -> float | None:
        """When it reached its target, or was begun."""
        return self.times.get("fault_injected", self.times.get("fault_started"))

    @property
    def over_at(self) -> float | None:
        """When it was healed."""
        return self.times.get("fault_healed")


class FaultLane:
    """All faults of a run, in the order in which they were planned, unplanned ones behind."""

    def __init__(self) -> None:
        self.faults: list[LiveFault] = []
        self.load_started_at: float | None = None

    def fold(self, event: Mapping[str, Any]) -> None:
        """Take an event; those that are not about faults change nothing."""
        if event["event"] == "fault_planned":
            self.faults += [_planned(fields) for fields in event.get("faults") or ()]
        elif event["event"] == "phase_started" and event.get("kind") == "load":
            self.load_started_at = event["at"]
        elif event["event"] in _STEPS:
            self._step(event, _STEPS[event["event"]])

    def of(self, *states: FaultState) -> list[LiveFault]:
        """The faults in one of these states."""
        return [fault for fault in self.faults if fault.state in states]

    def due_in_s(self, fault: LiveFault, now: float) -> float | None:
        """Seconds until a planned fault strikes; None before the load begins."""
        if self.load_started_at is None or fault.at_s is None:
            return None
        return max(0.0, self.load_started_at + fault.at_s - now)

    def _step(self, event: Mapping[str, Any], state: FaultState) -> None:
        fault = self._of_event(event)
        fault.times[event["event"]] = event["at"]
        if state is FaultState.BITING:
            fault.has_bitten = bool(event.get("bit", True))
            state = FaultState.BITING if fault.has_bitten else FaultState.MISSED
        fault.state = state

    def _of_event(self, event: Mapping[str, Any]) -> LiveFault:
        """The fault that the event is about: by its number, else the first like it under way."""
        number = event.get("number")
        kind, target = str(event.get("kind") or "fault"), str(event.get("target") or "")
        over = (FaultState.HEALED, FaultState.SKIPPED)
        for fault in self.faults:
            if number is not None and fault.number is not None:
                if fault.number == number:
                    return fault
            elif (fault.kind, fault.target) == (kind, target) and fault.state not in over:
                return fault
        self.faults.append(LiveFault(kind, target, number))
        return self.faults[-1]


def _planned(fields: Mapping[str, Any]) -> LiveFault:
    return LiveFault(
        kind=str(fields.get("kind") or "fault"),
        target=str(fields.get("target") or ""),
        number=fields.get("number"),
        at_s=fields.get("at_s"),
        for_s=fields.get("for_s"),
    )
