"""Experiments that sweep worker counts in a closed loop: rounds, then drains of a full queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from task_lab.spec.base import Asked, Definition, Spec, WorkloadDefinition, in_proportion
from task_lab.spec.records import (
    Count,
    Phase,
    PhaseKind,
    Rate,
    Seconds,
    Workload,
)

Repeats = Annotated[int, Field(strict=True, ge=1, le=100)]


class SweepAsked(Asked):
    """What a caller may override in a sweep."""

    tasks: Count | None = None
    rounds: Count | None = None
    drain_tasks: Count | None = None
    drains: Repeats | None = None


class SweepSpec(Spec):
    """A resolved sweep. drains: how often each point's queue is filled and emptied."""

    tasks: int
    rounds: int
    batch_size: int
    drains: int = 1

    def phases_of(self, workload: Workload, workers: int) -> list[Phase]:
        """A discarded warm-up, the rounds, the drains of a full queue."""
        point = f"{workload.name}-w{workers}"

        def phase(suffix: str, kind: PhaseKind, tasks: int, number: int | None = None) -> Phase:
            return Phase(
                name=f"{point}-{suffix}",
                kind=kind,
                workload=workload.name,
                workers=workers,
                tasks=tasks,
                round=number,
            )

        numbers = range(1, workload.rounds + 1)
        rounds = [phase(f"r{number:02d}", "round", workload.tasks, number) for number in numbers]
        warmup = phase("warmup", "warmup", min(workload.tasks, self.warmup_tasks))
        if self.drains == 1:
            return [warmup, *rounds, phase("drain", "drain", workload.drain_tasks)]
        drains = [
            phase(f"drain{number:02d}", "drain", workload.drain_tasks, number)
            for number in range(1, self.drains + 1)
        ]
        return [warmup, *rounds, *drains]


class SweepDefinition(Definition):
    """The file of a sweep. tasks: submissions in a round; batch_size: of a drain's filling."""

    ASKED: ClassVar[type[Asked]] = SweepAsked

    tasks: Count
    rounds: Count
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000)]
    drains: Repeats = 1

    def sweep_fields(self, given: SweepAsked) -> dict[str, Any]:
        """The fields of a sweep's spec."""
        tasks, rounds = given.tasks or self.tasks, given.rounds or self.rounds
        asked, defined = tasks * rounds, self.tasks * self.rounds
        return {
            **self.common(given),
            "tasks": tasks,
            "rounds": rounds,
            "batch_size": self.batch_size,
            "drains": given.drains or self.drains,
            "floor_tasks": self.floor_of(asked=asked, defined=defined),
            "workloads": [
                self._workload(name, of_name, given) for name, of_name in self.chosen(given).items()
            ],
        }

    def _workload(self, name: str, base: WorkloadDefinition, given: SweepAsked) -> Workload:
        defined_tasks, defined_rounds = base.tasks or self.tasks, base.rounds or self.rounds
        tasks, rounds = given.tasks or defined_tasks, given.rounds or defined_rounds
        drain_tasks = base.drain_tasks or defined_tasks
        return Workload(
            name=name,
            parts=[one.part(key) for key, one in base.part_definitions(name).items()],
            tasks=tasks,
            rounds=rounds,
            drain_tasks=given.drain_tasks
            or in_proportion(
                drain_tasks, asked=tasks * rounds, defined=defined_tasks * defined_rounds
            ),
            batch_size=base.batch_size,
        )


class ThroughputSpec(SweepSpec):
    """A resolved throughput experiment."""

    kind: Literal["throughput"]


class ThroughputDefinition(SweepDefinition):
    """The file of a throughput experiment."""

    kind: Literal["throughput"]

    def resolve(self, asked: Mapping[str, object]) -> ThroughputSpec:
        """The definition with the caller's parameters in place. Raises UsageError."""
        return ThroughputSpec(**self.sweep_fields(self.read_asked(asked)))


class ScalingAsked(SweepAsked):
    """What a caller may override in a scaling experiment: also the question it is to answer."""

    wanted_per_s: Rate | None = None
    wanted_wait_p95_s: Seconds | None = None


class ScalingSpec(SweepSpec):
    """A resolved sweep over many worker counts, for a law to be fitted to.

    wanted_per_s, wanted_wait_p95_s: how many workers does this rate need, with that queue wait?
    """

    kind: Literal["scaling"]
    wanted_per_s: dict[str, float]
    wanted_wait_p95_s: float


class ScalingDefinition(SweepDefinition):
    """The file of a scaling experiment. wanted_per_s: by workload."""

    ASKED: ClassVar[type[Asked]] = ScalingAsked

    kind: Literal["scaling"]
    wanted_per_s: dict[str, Rate]
    wanted_wait_p95_s: Seconds

    def resolve(self, asked: Mapping[str, object]) -> ScalingSpec:
        """The definition with the caller's parameters in place. Raises UsageError."""
        given: ScalingAsked = self.read_asked(asked)
        return ScalingSpec(
            **self.sweep_fields(given),
            wanted_per_s={
                name: given.wanted_per_s or self.wanted_per_s[name]
                for name in self.chosen(given)
                if given.wanted_per_s or name in self.wanted_per_s
            },
            wanted_wait_p95_s=given.wanted_wait_p95_s or self.wanted_wait_p95_s,
        )
