"""The experiment that looks for the highest sustainable rate and climbs a ladder up to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from task_lab.errors import UsageError
from task_lab.spec.arrivals import Arrivals, ArrivalsField
from task_lab.spec.base import Asked, Definition, Spec
from task_lab.spec.records import (
    Objectives,
    Phase,
    PhaseKind,
    Rate,
    Seconds,
    Workload,
    as_numbers,
)

# A search that needs more is not one: something else changes while it goes on.
MOST_PROBES = 24

Fraction = Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)]
Fractions = Annotated[list[Fraction], BeforeValidator(as_numbers)]


class SaturationAsked(Asked):
    """What a caller may override. per_s: the highest sustainable rate, instead of a search."""

    arrivals: ArrivalsField | None = None
    probe_s: Seconds | None = None
    step_s: Seconds | None = None
    fractions: Fractions | None = None
    per_s: Rate | None = None


class SaturationSpec(Spec):
    """A resolved search. Its phases are known as it goes on: every probe depends on the last.

    start_per_s: where the search begins; per_s: no search, this is the rate. objectives: what a
    step of the ladder must keep to.
    """

    kind: Literal["saturation"]
    arrivals: Arrivals
    start_per_s: float
    per_s: float | None
    probe_s: float
    step_s: float
    longest_step_s: float
    precision: float
    fractions: list[float]

    def phases_of(self, workload: Workload, workers: int) -> list[Phase]:
        """The warm-up: all else depends on what is found."""
        return [
            Phase(
                name=f"{workload.name}-w{workers}-warmup",
                kind="warmup",
                workload=workload.name,
                workers=workers,
                tasks=self.warmup_tasks,
            )
        ]

    def paced(
        self,
        point: tuple[Workload, int],
        kind: PhaseKind,
        *,
        per_s: float,
        duration_s: float,
        number: int,
        fraction: float | None = None,
    ) -> Phase:
        """A probe or a step of so many seconds at a rate."""
        workload, workers = point
        return Phase(
            name=f"{workload.name}-w{workers}-{kind}{number:02d}",
            kind=kind,
            workload=workload.name,
            workers=workers,
            tasks=max(1, round(per_s * duration_s)),
            round=number,
            offered_per_s=per_s,
            duration_s=duration_s,
            fraction=fraction,
        )


class SaturationDefinition(Definition):
    """The file of a saturation experiment.

    precision: the search ends when its bounds are so close, relative to the lower one.
    longest_step_s: a slow step may last so long to have enough tasks for its percentiles.
    """

    ASKED: ClassVar[type[Asked]] = SaturationAsked

    kind: Literal["saturation"]
    arrivals: ArrivalsField = Arrivals(shape="poisson")
    start_per_s: Rate
    probe_s: Seconds
    step_s: Seconds
    longest_step_s: Seconds
    precision: Annotated[float, Field(gt=0, lt=1)]
    fractions: Fractions = Field(min_length=1)
    objectives: Objectives = Field(min_length=1)

    def resolve(self, asked: Mapping[str, object]) -> SaturationSpec:
        """The definition with the caller's parameters in place. Raises UsageError."""
        given: SaturationAsked = self.read_asked(asked)
        arrivals = given.arrivals or self.arrivals
        if arrivals.shape in ("ramp", "trace"):
            raise UsageError(
                f"arrivals {arrivals.text!r} have rates of their own; a search has its"
            )
        own: dict[str, Any] = {
            name: getattr(given, name, None) or getattr(self, name)
            for name in ("arrivals", "start_per_s", "probe_s", "step_s", "precision", "fractions")
        }
        return SaturationSpec(
            **self.common(given),
            **own,
            per_s=given.per_s,
            longest_step_s=max(self.longest_step_s, own["step_s"]),
            floor_tasks=self.floor_of(asked=own["step_s"], defined=self.step_s),
            workloads=[
                Workload(
                    name=name,
                    parts=[one.part(key) for key, one in of_name.part_definitions(name).items()],
                    tasks=max(1, round(own["start_per_s"] * own["step_s"])),
                    batch_size=of_name.batch_size,
                )
                for name, of_name in self.chosen(given).items()
            ],
        )
