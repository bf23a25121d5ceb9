"""Experiments that watch one paced load: with tasks that fail, or while faults strike.

The load is an open loop: when each task is to be sent is decided before the first one is, and
latencies count from then. Every submission carries an idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from task_lab.errors import UsageError
from task_lab.faults.planned import read_plan
from task_lab.spec.arrivals import Arrivals, ArrivalsField
from task_lab.spec.base import Asked, Definition, Spec, WorkloadDefinition
from task_lab.spec.records import Count, Part, Phase, Rate, Share, Workload


class SteadyAsked(Asked):
    """What a caller may override in any paced load. tasks: how many; their rate says how long."""

    tasks: Count | None = None
    per_s: Rate | None = None
    arrivals: ArrivalsField | None = None


class SteadySpec(Spec):
    """A resolved paced load."""

    per_s: float
    arrivals: Arrivals

    def phases_of(self, workload: Workload, workers: int) -> list[Phase]:
        """A discarded warm-up in a closed loop, then the load."""
        point = f"{workload.name}-w{workers}"
        warmup = Phase(
            name=f"{point}-warmup",
            kind="warmup",
            workload=workload.name,
            workers=workers,
            tasks=min(workload.tasks, self.warmup_tasks),
        )
        load = Phase(
            name=f"{point}-load",
            kind="load",
            workload=workload.name,
            workers=workers,
            tasks=workload.tasks,
            offered_per_s=self.per_s,
            duration_s=round(workload.tasks / self.per_s, 3),
        )
        return [warmup, load]


class SteadyDefinition(Definition):
    """The file of a paced load."""

    ASKED: ClassVar[type[Asked]] = SteadyAsked

    tasks: Count
    per_s: Rate
    arrivals: ArrivalsField = Arrivals()

    def steady_fields(self, given: SteadyAsked) -> dict[str, Any]:
        """The fields of a paced load's spec."""
        tasks = given.tasks or self.tasks
        return {
            **self.common(given),
            "per_s": given.per_s or self.per_s,
            "arrivals": given.arrivals or self.arrivals,
            "floor_tasks": self.floor_of(asked=tasks, defined=self.tasks),
            "keyed": True,
            "is_witnessed": True,
            "workloads": [
                Workload(
                    name=name,
                    parts=self.parts_of(name, of_name, given),
                    tasks=tasks,
                    batch_size=of_name.batch_size,
                )
                for name, of_name in self.chosen(given).items()
            ],
        }

    def parts_of(self, name: str, of_name: WorkloadDefinition, given: SteadyAsked) -> list[Part]:
        """The workload's parts as this run is to have them."""
        return [one.part(key) for key, one in of_name.part_definitions(name).items()]


class RetriesAsked(SteadyAsked):
    """What a caller may override: also the shares of the mix, and how often a task is retried."""

    good: Share | None = None
    flaky: Share | None = None
    poison: Share | None = None


class RetriesSpec(SteadySpec):
    """A resolved experiment on retries and dead letters. shares: of the mix's groups; sum 1."""

    kind: Literal["retries_and_dlq"]
    shares: dict[str, float]


class RetriesDefinition(SteadyDefinition):
    """The file of an experiment on retries and dead letters. shares: by a part's `group`."""

    ASKED: ClassVar[type[Asked]] = RetriesAsked

    kind: Literal["retries_and_dlq"]
    shares: dict[Literal["good", "flaky", "poison"], Share]

    def resolve(self, asked: Mapping[str, object]) -> RetriesSpec:
        """The definition with the caller's parameters in place. Raises UsageError."""
        given: RetriesAsked = self.read_asked(asked)
        return RetriesSpec(**self.steady_fields(given), shares=self._shares(given))

    def parts_of(self, name: str, of_name: WorkloadDefinition, given: SteadyAsked) -> list[Part]:
        """The parts, each with its share of its group's share; groups without one are left out."""
        assert isinstance(given, RetriesAsked)
        shares = self._shares(given)
        parts = super().parts_of(name, of_name, given)
        weights = {group: sum(p.share for p in parts if p.group == group) for group in shares}
        return [
            part.model_copy(update={"share": shares[group] * part.share / weights[group]})
            for part in parts
            if (group := part.group or "") in shares and shares[group] and weights[group]
        ]

    def _shares(self, given: RetriesAsked) -> dict[str, float]:
        asked = {group: getattr(given, group) for group in self.shares}
        shares: dict[str, float] = {
            group: self.shares[group] if share is None else share for group, share in asked.items()
        }
        if abs(sum(shares.values()) - 1) > 1e-6:
            told = ", ".join(f"{group} {share:g}" for group, share in shares.items())
            raise UsageError(f"the shares of a mix must sum to 1: {told}")
        return shares


RunTwice = Literal["allowed", "forbidden"]


class FaultsAsked(SteadyAsked):
    """What a caller may override: also the plan of faults, as text, and what it is to be judged by.

    run_twice: whether tasks may be run twice where a worker was lost.
    """

    faults: str | None = None
    run_twice: RunTwice | None = None


def _as_text(value: object) -> object:
    if not isinstance(value, list):
        return value
    are_tables = value and all(isinstance(one, Mapping) for one in value)
    return str(read_plan(value)) if are_tables else "; ".join(map(str, value))


class FaultsSpec(SteadySpec):
    """A resolved experiment on faults. faults: the plan as `task_lab.faults.planned` reads it."""

    kind: Literal["faults"]
    faults: str
    run_twice: RunTwice = "allowed"


class FaultsDefinition(SteadyDefinition):
    """The file of an experiment on faults.

    faults: the plan, as one line of text, a list of such lines, or a list of tables.
    """

    ASKED: ClassVar[type[Asked]] = FaultsAsked

    kind: Literal["faults"]
    faults: Annotated[str, BeforeValidator(_as_text)] = Field(min_length=1)
    run_twice: RunTwice = "allowed"

    def resolve(self, asked: Mapping[str, object]) -> FaultsSpec:
        """The definition with the caller's parameters in place. Raises UsageError."""
        given: FaultsAsked = self.read_asked(asked)
        fields = self.steady_fields(given)
        if len(fields["workers"]) * len(fields["workloads"]) > 1:
            raise UsageError("faults strike one load: one worker count and one workload, not more")
        plan = read_plan(given.faults or self.faults)
        plan.check(
            load_s=fields["workloads"][0].tasks / fields["per_s"],
            workers=fields["workers"][0],
        )
        policy = given.run_twice or self.run_twice
        return FaultsSpec(**fields, faults=str(plan), run_twice=policy)
