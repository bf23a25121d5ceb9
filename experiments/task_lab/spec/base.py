"""What all kinds of experiment have in common: definition, what a caller may ask, resolved spec."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from task_lab.errors import UsageError, did_you_mean
from task_lab.spec.records import (
    Count,
    InFlight,
    Limit,
    Names,
    Objectives,
    PartDefinition,
    Phase,
    Record,
    RuntimeName,
    WorkerCounts,
    Workload,
)

# Fewer say more about the loops' start than about their pace.
_LEAST_FLOOR_TASKS = 2_000
_HANDLERS = "TASK_PLATFORM_HANDLERS"


class WorkloadDefinition(Record):
    """A workload as a definition file has it: one kind of task, or `parts` by name.

    rounds, tasks: instead of the experiment's own.
    """

    task_type: str | None = None
    payload: Any = Field(default_factory=dict)
    payload_bytes: int | None = None
    expect: Any = None
    expect_payload: bool = False
    max_retries: int | None = None
    parts: dict[str, PartDefinition] = Field(default_factory=dict)
    tasks: Count | None = None
    rounds: Count | None = None
    drain_tasks: Count | None = None
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1

    @model_validator(mode="after")
    def _is_one_kind_or_parts(self) -> Self:
        if (self.task_type is None) == (not self.parts):
            raise ValueError("a workload has either a task_type or parts")
        return self

    def part_definitions(self, name: str) -> dict[str, PartDefinition]:
        """Its parts; one kind of task is a single part of the workload's own name."""
        if self.parts:
            return self.parts
        own = self.model_dump(
            include={"payload", "payload_bytes", "expect", "expect_payload", "max_retries"}
        )
        return {name: PartDefinition(task_type=str(self.task_type), **own)}


class Asked(Record):
    """What a caller may override in every experiment. Absent fields mean the definition's value."""

    workers: WorkerCounts | None = None
    workloads: Names | None = None
    in_flight: InFlight | None = None
    seed: int | None = None
    runtime: RuntimeName | None = None
    handlers: Names | None = None

    @model_validator(mode="after")
    def _no_value_twice(self) -> Self:
        for field in ("workers", "workloads"):
            values = getattr(self, field)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise ValueError(f"{field} must name at least one value, and none twice")
        return self


class Spec(Record):
    """A resolved experiment: everything a run needs, nothing left to default.

    keyed: every submission carries an idempotency key, so that one without an answer is known in
    the ledger. is_witnessed: every change of a task's state is noted while the run goes on.
    objectives: limits of the summary's figures, by name.
    """

    kind: str
    name: str
    notebook: str
    runtime: RuntimeName
    workers: list[int]
    in_flight: int
    warmup_tasks: int
    floor_tasks: int
    seed: int
    settings: dict[str, str]
    handlers: list[str] = Field(default_factory=list)
    objectives: dict[str, Limit] = Field(default_factory=dict)
    workloads: list[Workload]
    keyed: bool = False
    is_witnessed: bool = False

    @model_validator(mode="after")
    def _parts_have_names_of_their_own(self) -> Self:
        names = [part.name for workload in self.workloads for part in workload.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts of the workloads have one name")
        return self

    def points(self) -> list[tuple[Workload, int]]:
        """The sweep in running order: every worker count of one workload, then the next one."""
        return [(workload, count) for workload in self.workloads for count in self.workers]

    def phases(self) -> list[Phase]:
        """Every phase that is known before the run, in running order."""
        return [phase for point in self.points() for phase in self.phases_of(*point)]

    @abstractmethod
    def phases_of(self, workload: Workload, workers: int) -> list[Phase]:
        """The phases of one point that are known before the run."""

    def workload(self, name: str) -> Workload:
        """The workload of that name. Raises StopIteration where there is none."""
        return next(one for one in self.workloads if one.name == name)

    def variables(self) -> dict[str, str]:
        """The platform's settings, with the modules that hold the user's own handlers."""
        if not self.handlers:
            return self.settings
        return {**self.settings, _HANDLERS: ",".join(self.handlers)}


class Definition(Record):
    """A file of `experiments/definitions`. `ASKED` says what a caller may override in it."""

    ASKED: ClassVar[type[Asked]] = Asked

    kind: str
    name: str
    notebook: str
    workers: WorkerCounts = Field(min_length=1)
    in_flight: InFlight
    warmup_tasks: Count
    floor_tasks: Count
    seed: int
    settings: dict[str, str] = Field(default_factory=dict)
    objectives: Objectives = Field(default_factory=dict)
    workloads: dict[str, WorkloadDefinition] = Field(min_length=1)

    def parameters(self) -> list[str]:
        """Names of what a caller may override."""
        return list(self.ASKED.model_fields)

    def read_asked(self, asked: Mapping[str, object]) -> Any:
        """The caller's parameters, checked. None and "" count as not given. Raises UsageError."""
        given = {name: value for name, value in asked.items() if value is not None and value != ""}
        for name in given:
            if name not in self.ASKED.model_fields:
                known = self.ASKED.model_fields
                raise UsageError(f"unknown parameter {name!r}{did_you_mean(name, known)}")
        try:
            return self.ASKED.model_validate(given)
        except ValidationError as error:
            raise UsageError(told(error)) from error

    def chosen(self, given: Asked) -> dict[str, WorkloadDefinition]:
        """The workloads asked for, all if none were. Raises UsageError for an unknown name."""
        names = given.workloads or list(self.workloads)
        for name in names:
            if name not in self.workloads:
                raise UsageError(f"no workload named {name!r}{did_you_mean(name, self.workloads)}")
        return {name: self.workloads[name] for name in names}

    def common(self, given: Asked) -> dict[str, Any]:
        """The fields of a spec that every kind resolves alike."""
        return {
            "kind": self.kind,
            "name": self.name,
            "notebook": self.notebook,
            "runtime": _runtime_for(given),
            "workers": given.workers or self.workers,
            "in_flight": given.in_flight or self.in_flight,
            "warmup_tasks": self.warmup_tasks,
            "seed": self.seed if given.seed is None else given.seed,
            "settings": self.settings,
            "handlers": given.handlers or [],
            "objectives": self.objectives,
        }

    def floor_of(self, *, asked: float, defined: float) -> int:
        """Tasks of the floor, in proportion to a smaller run, down to what still says something."""
        least = min(_LEAST_FLOOR_TASKS, self.floor_tasks)
        return max(least, in_proportion(self.floor_tasks, asked=asked, defined=defined))


def _runtime_for(given: Asked) -> RuntimeName:
    """The runtime asked for, native if none was; with handlers of one's own, never containers."""
    runtime = given.runtime or "native"
    if not given.handlers or runtime == "native":
        return runtime
    if runtime == "compose":
        raise UsageError("handlers are for the native runtime: an image holds its own modules")
    return "native"


def in_proportion(tasks: int, *, asked: float, defined: float) -> int:
    """Tasks of a drain or of the floor: a smaller run gets proportionally smaller ones.

    asked, defined: tasks of all rounds together, as asked for and as the definition has them. A
    larger run keeps the definition's number, which is long enough to be measured.
    """
    return max(1, round(tasks * min(1.0, asked / defined)))


def told(error: ValidationError) -> str:
    """What is wrong with each value, by its name."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors()
    )
