"""How long a run's load will still take, and from what that is known. Pure.

What follows the load (settling, checks, the report) is not in it: no phase tells its length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A phase that has offered less says too little about its own pace.
_LEAST_SHARE = 0.1
# In these the work ends about when the last task is offered.
_PACED_BY_OFFERS = ("warmup", "round")


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """What a phase was meant to be. duration_s: of a scheduled load; None in a closed loop."""

    name: str
    kind: str
    workload: str = ""
    workers: int = 0
    tasks: int = 0
    round: int | None = None
    offered_per_s: float | None = None
    duration_s: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, name: str) -> PhasePlan:
        """The plan that an event tells; what it leaves out is not known."""
        return cls(
            name=name,
            kind=str(fields.get("kind") or "phase"),
            workload=str(fields.get("workload") or ""),
            workers=int(fields.get("workers") or 0),
            tasks=int(fields.get("tasks") or 0),
            round=fields.get("round"),
            offered_per_s=fields.get("offered_per_s"),
            duration_s=fields.get("duration_s"),
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """A phase that is over, and how long it took."""

    phase: PhasePlan
    took_s: float


@dataclass(frozen=True, slots=True)
class Running:
    """The phase of this moment. offered: tasks that were submitted in it so far."""

    phase: PhasePlan
    elapsed_s: float
    offered: int

    @property
    def share(self) -> float:
        """How much of it is offered, 0 to 1."""
        return min(1.0, self.offered / self.phase.tasks) if self.phase.tasks else 0.0


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until the load ends, and how that was found."""

    seconds: float
    method: str


def remaining(
    waiting: Sequence[PhasePlan],
    finished: Sequence[Finished],
    running: Running | None = None,
    *,
    between_s: float = 0.0,
) -> Eta | None:
    """When the load will end; None where nothing can be said of a phase that is still to come.

    between_s: what usually passes from the end of a phase to the start of the next one.
    """
    evidence, source = list(finished), _counted(len(finished))
    if not evidence and running and _tells_pace(running):
        evidence, source = [_so_far(running)], "the pace of the running phase"
    left_s = 0.0
    uses_pace = False
    for phase in waiting:
        takes_s = takes(phase, evidence)
        if takes_s is None:
            return None
        left_s += takes_s + max(0.0, between_s)
        uses_pace |= phase.duration_s is None
    if running is not None:
        takes_s = takes(running.phase, evidence)
        if takes_s is None:
            return None
        left_s += _rest(running, takes_s)
        uses_pace |= running.phase.duration_s is None
    return Eta(left_s, source if uses_pace else "the durations planned")


def takes(phase: PhasePlan, finished: Sequence[Finished]) -> float | None:
    """Seconds that a phase will take; None if it has no duration and nothing like it is over.

    A phase with a duration takes that, stretched as its kind was. Others go by the seconds that a
    task took in the phases most like it: of its kind, workload and worker count, or of fewer of
    these.
    """
    if phase.duration_s is not None:
        alike = [one for one in finished if one.phase.kind == phase.kind and one.phase.duration_s]
        planned_s = sum(one.phase.duration_s or 0.0 for one in alike)
        stretch = sum(one.took_s for one in alike) / planned_s if planned_s else 1.0
        return phase.duration_s * max(0.0, stretch)
    for is_alike in _ALIKE:
        alike = [one for one in finished if one.phase.tasks and is_alike(one.phase, phase)]
        if alike:
            took_s = sum(one.took_s for one in alike) / sum(one.phase.tasks for one in alike)
            return max(0.0, took_s) * phase.tasks
    return None


_ALIKE: tuple[Callable[[PhasePlan, PhasePlan], bool], ...] = (
    lambda a, b: (a.kind, a.workload, a.workers) == (b.kind, b.workload, b.workers),
    lambda a, b: (a.kind, a.workload) == (b.kind, b.workload),
    lambda a, b: a.workload == b.workload,
    lambda a, b: a.kind == b.kind,
    lambda a, b: True,
)


def _rest(running: Running, takes_s: float) -> float:
    if running.phase.duration_s is None and running.phase.kind in _PACED_BY_OFFERS:
        return takes_s * (1.0 - running.share)
    return max(0.0, takes_s - running.elapsed_s)


def _tells_pace(running: Running) -> bool:
    return running.phase.kind in _PACED_BY_OFFERS and running.share >= _LEAST_SHARE


def _so_far(running: Running) -> Finished:
    return Finished(running.phase, running.elapsed_s / running.share)


def _counted(count: int) -> str:
    return f"the pace of {count} finished phase{'' if count == 1 else 's'}"
