"""A run as far as it has come, folded from what it writes: events, submissions, samples. Pure.

No clock and no files: what is asked of a moment takes `now`, in unix seconds. Events nobody knows
here change nothing but the messages.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from task_lab.live.cores import Cores
from task_lab.live.eta import Eta, Finished, PhasePlan, Running, remaining
from task_lab.live.faults import FaultLane
from task_lab.live.feed import News, Sent
from task_lab.live.rates import Level, Pace
from task_lab.progress import describe, phase_text

OUTCOMES = ("accepted", "unknown", "rejected")
_MESSAGES_KEPT = 200
# A depth that old says nothing about this moment.
_DEPTH_HOLDS_S = 3.0
_STAGES = {
    "stack_up": "measuring the floor",
    "floor_measured": "calibrating the generator",
    "calibrated": "starting the workers",
    "scaled": "the workers are ready",
    "healed": "waiting until all is at rest",
    "settled": "collecting the evidence",
    "collected": "checking every task",
    "checked": "stopping the stack",
}
_ENDS = {
    "completed": "finished",
    "interrupted": "interrupted",
    "crashed": "came to no end",
}


@dataclass(slots=True)
class SeenPhase:
    """A phase that has begun. is_drained: None while it runs, and where nobody said it."""

    plan: PhasePlan
    started_at: float
    ended_at: float | None = None
    is_drained: bool | None = None
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def offered(self) -> int:
        """Tasks submitted in it so far."""
        return self.outcomes.total()


class RunState:
    """What can be said of a run now."""

    def __init__(self, *, experiment: str = "", run_id: str = "") -> None:
        self.experiment, self.run_id = experiment, run_id
        self.runtime = self.verdict = self.reason = self.ended = ""
        self.stage = "starting the stack"
        self.is_up = self.is_stopped = False
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.interrupted_at: float | None = None
        self.checked: str | None = None
        self.plan: dict[str, PhasePlan] = {}
        self.phases: dict[str, SeenPhase] = {}
        self.lane = FaultLane()
        self.outcomes: Counter[str] = Counter()
        self.accepted = Pace()
        self.depth = Level()
        self.cores = Cores()
        self.messages: deque[tuple[float, str]] = deque(maxlen=_MESSAGES_KEPT)
        self._latest_at = 0.0
        self._is_measured = False

    def take(self, news: News) -> None:
        """Fold everything of one look."""
        if news.run is not None:
            self.know(news.run)
        for event in news.events:
            self.fold(event)
        self.count(news.sent)
        for sample in news.samples:
            self.sample(sample)
        for sample in news.resources:
            self.cores.sample(sample)

    def know(self, run: Mapping[str, Any]) -> None:
        """Take what run.json says."""
        self.experiment = str(run.get("experiment") or self.experiment)
        self.runtime = str(run.get("runtime") or self.runtime)
        self.verdict = str(run.get("verdict") or "")
        self.reason = str(run.get("reason") or "")
        self.ended = str(run.get("ended") or "")
        self.started_at = _unix(run.get("started_at")) or self.started_at
        self.ended_at = _unix(run.get("ended_at"))

    def fold(self, event: Mapping[str, Any]) -> None:
        """Take an event of the run."""
        at, name = float(event["at"]), event["event"]
        self._latest_at = max(self._latest_at, at)
        self.started_at = self.started_at or at
        self.stage = _STAGES.get(name, self.stage)
        self.lane.fold(event)
        if (line := describe(event)) is not None:
            self.messages.append((at, line))
        if name == "plan":
            self._plan(event.get("phases") or ())
        elif name == "phase_started":
            self._start(event)
        elif name == "phase_ended":
            self._end(event)
        elif name == "searched":
            self._drop_probes()
        elif name == "settled":
            self._is_measured = True
        elif name == "stack_up":
            self.is_up = True
        elif name == "checked":
            self.checked = str(event.get("verdict") or "")
        elif name == "stopped":
            self.is_stopped = True
            is_whole = event.get("ended") == "completed"
            self.stage = "writing the report" if is_whole else "stopped"

    def count(self, sent: Iterable[Sent]) -> None:
        """Take submissions that were answered, or given up."""
        for one in sent:
            self.outcomes[one.outcome] += 1
            if one.phase in self.phases:
                self.phases[one.phase].outcomes[one.outcome] += 1
            if one.outcome == "accepted" and one.answered_at is not None:
                self.accepted.add(one.answered_at)
                self._latest_at = max(self._latest_at, one.answered_at)

    def sample(self, sample: Mapping[str, Any]) -> None:
        """Take a sample of the task queue."""
        at, ready = sample.get("at"), sample.get("ready")
        if isinstance(at, int | float):
            self.depth.set(float(at), float(ready) if isinstance(ready, int | float) else None)
            self._latest_at = max(self._latest_at, float(at))

    def end(self) -> None:
        """Nobody will say more of the run: what it was doing last is replaced by how it ended."""
        if self.is_over:
            reason = f": {self.reason}" if self.reason and self.ended == "crashed" else ""
            self.stage = _ENDS.get(self.ended, "over") + reason

    @property
    def is_over(self) -> bool:
        """Nothing more will be measured: the stack was stopped, or the run says how it ended."""
        return self.is_stopped or self.ended_at is not None

    @property
    def offered(self) -> int:
        """Submissions so far."""
        return self.outcomes.total()

    @property
    def running(self) -> SeenPhase | None:
        """The phase that has begun and not ended."""
        latest = next(reversed(self.phases.values()), None)
        return latest if latest and latest.ended_at is None and not self.is_over else None

    @property
    def done(self) -> int:
        """Phases that have ended."""
        return sum(phase.ended_at is not None for phase in self.phases.values())

    @property
    def planned(self) -> int | None:
        """Phases there will be in all; None as long as nobody said."""
        return len(self.phases) + len(self.waiting()) if self.plan else None

    def waiting(self) -> list[PhasePlan]:
        """Planned phases still to come. Those before one that has begun were passed over."""
        names = list(self.plan)
        begun = [place for place, name in enumerate(names) if name in self.phases]
        return [self.plan[name] for name in names[max(begun, default=-1) + 1 :]]

    def moment(self, now: float) -> float:
        """The moment to show: now, or the last one of which a run that is over has told."""
        return min(now, self._latest_at) if self.is_over and self._latest_at else now

    def elapsed_s(self, now: float) -> float:
        """Seconds since the run began, up to its end."""
        if self.started_at is None:
            return 0.0
        return max(0.0, min(now, self.ended_at or now) - self.started_at)

    def submit_per_s(self, now: float) -> float:
        """Tasks accepted in the last second."""
        return self.accepted.per_s(now)

    def backlog(self, now: float) -> int | None:
        """Tasks waiting in the queue; None where the broker did not say lately.

        Between phases that drained it is 0 whatever the broker said: all accepted tasks finished.
        """
        latest = next(reversed(self.phases.values()), None)
        if latest and latest.ended_at is not None and latest.is_drained:
            return 0
        is_fresh = self.depth.latest_at >= now - _DEPTH_HOLDS_S
        return int(self.depth.latest) if is_fresh and self.depth.latest is not None else None

    def eta(self, now: float) -> Eta | None:
        """When the load will end; None where that cannot be said, or there is none to come."""
        running = self.running
        if self.is_over or self._is_measured or self.interrupted_at is not None:
            return None
        if not (self.waiting() or running):
            return None
        finished = [
            Finished(one.plan, max(0.0, one.ended_at - one.started_at))
            for one in self.phases.values()
            if one.ended_at is not None
        ]
        so_far = None
        if running is not None:
            elapsed_s = max(0.0, now - running.started_at)
            so_far = Running(running.plan, elapsed_s, running.offered)
        return remaining(self.waiting(), finished, so_far, between_s=self._between_s())

    def stage_text(self) -> str:
        """What is going on, in words."""
        if self.interrupted_at is not None and not self.is_over:
            return self.interruption()
        return phase_text(vars_of(self.running.plan)) if self.running else self.stage

    def interruption(self) -> str:
        """What an interrupted run still has to do: what is healed, what is stopped."""
        active = [fault.name for fault in self.lane.faults if fault.is_active]
        stopping = "stopping the stack" if self.is_up else "stopping what was started"
        todo = [f"healing {', '.join(active)}"] if active else []
        return "interrupted: " + ", then ".join([*todo, stopping])

    def _plan(self, phases: Iterable[Mapping[str, Any]]) -> None:
        """Phases that are announced join those that were before."""
        plans = (PhasePlan.of(one, name=str(one.get("name") or "")) for one in phases)
        self.plan |= {plan.name: plan for plan in plans}

    def _start(self, event: Mapping[str, Any]) -> None:
        name = str(event.get("phase") or f"phase {len(self.phases) + 1}")
        plan = PhasePlan.of({**vars_of(self.plan.get(name)), **_told(event)}, name=name)
        self.phases[name] = SeenPhase(plan, event["at"])

    def _end(self, event: Mapping[str, Any]) -> None:
        if (phase := self.phases.get(str(event.get("phase")))) is not None:
            phase.ended_at, phase.is_drained = event["at"], event.get("drained")
            self.stage = "between two phases"

    def _drop_probes(self) -> None:
        self.plan = {
            name: plan
            for name, plan in self.plan.items()
            if plan.kind != "probe" or name in self.phases
        }

    def _between_s(self) -> float:
        """Mean time from the end of a phase to the start of the next one."""
        seen = list(self.phases.values())
        gaps = [
            after.started_at - before.ended_at
            for before, after in pairwise(seen)
            if before.ended_at is not None
        ]
        return max(0.0, sum(gaps) / len(gaps)) if gaps else 0.0


def vars_of(plan: PhasePlan | None) -> dict[str, Any]:
    """The plan's fields by name; none of no plan."""
    if plan is None:
        return {}
    return {name: getattr(plan, name) for name in PhasePlan.__dataclass_fields__}


def _told(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value is not None}


def _unix(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except ValueError:
        return None
