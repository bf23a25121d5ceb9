"""An experiment as data: its definition file, what a caller may override, what that resolves to.

Nothing here runs anything. A definition has strict keys; a parameter nobody knows is refused with
the nearest known name, before a kernel or a server is started.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from task_lab.errors import UsageError, did_you_mean

DEFINITIONS = Path(__file__).resolve().parents[1] / "definitions"

# Fewer say more about the loops' start than about their pace.
_LEAST_FLOOR_TASKS = 2_000

RuntimeName = Literal["native", "compose", "auto"]
Kind = Literal["warmup", "round", "drain"]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
WorkerCount = Annotated[int, Field(strict=True, ge=1, le=64)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkloadDefinition(_Record):
    """One kind of task to offer. `rounds` overrides the experiment's own number."""

    task_type: str
    payload: dict[str, Any]
    expect: dict[str, Any]
    drain_tasks: Count
    rounds: Count | None = None


class Definition(_Record):
    """A file of `experiments/definitions`."""

    name: str
    notebook: str
    tasks: Count
    rounds: Count
    workers: list[WorkerCount] = Field(min_length=1)
    in_flight: Annotated[int, Field(strict=True, ge=1, le=1_000)]
    warmup_tasks: Count
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000)]
    floor_tasks: Count
    seed: int
    settings: dict[str, str] = {}
    workloads: dict[str, WorkloadDefinition] = Field(min_length=1)


def _split(value: object) -> object:
    """Lists may come as text ("1,3" on a command line) or as a single value."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [int(part) if part.isdecimal() else part for part in parts]
    return [value] if isinstance(value, int) else list(value) if isinstance(value, tuple) else value


class Asked(_Record):
    """What a caller may override. Absent fields mean the definition's value."""

    tasks: Count | None = None
    rounds: Count | None = None
    workers: Annotated[list[WorkerCount] | None, BeforeValidator(_split)] = None
    workloads: Annotated[list[str] | None, BeforeValidator(_split)] = None
    in_flight: Annotated[int, Field(strict=True, ge=1, le=1_000)] | None = None
    drain_tasks: Count | None = None
    seed: int | None = None
    runtime: RuntimeName | None = None

    @model_validator(mode="after")
    def _no_value_twice(self) -> Self:
        for field in ("workers", "workloads"):
            values = getattr(self, field)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise ValueError(f"{field} must name at least one value, and none twice")
        return self


class Workload(_Record):
    """A workload with its numbers settled. `expect` is the result every task must end with."""

    name: str
    task_type: str
    payload: dict[str, Any]
    expect: dict[str, Any]
    tasks: int
    rounds: int
    drain_tasks: int


class Phase(_Record):
    """One stretch of load. `round` counts from 1 and is None outside rounds."""

    name: str
    kind: Kind
    workload: str
    workers: int
    tasks: int
    round: int | None = None


class Spec(_Record):
    """A resolved experiment: everything a run needs, nothing left to default."""

    name: str
    notebook: str
    runtime: RuntimeName
    tasks: int
    rounds: int
    workers: list[int]
    in_flight: int
    warmup_tasks: int
    batch_size: int
    floor_tasks: int
    seed: int
    settings: dict[str, str]
    workloads: list[Workload]

    def points(self) -> list[tuple[Workload, int]]:
        """The sweep in running order: every worker count of one workload, then the next one."""
        return [(workload, count) for workload in self.workloads for count in self.workers]

    def phases(self) -> list[Phase]:
        """Every phase in running order."""
        return [
            phase
            for workload, count in self.points()
            for phase in phases_of(workload, count, self.warmup_tasks)
        ]


def phases_of(workload: Workload, workers: int, warmup_tasks: int) -> list[Phase]:
    """The phases of one point: a discarded warm-up, the rounds, the drain of a full queue."""
    point = f"{workload.name}-w{workers}"

    def phase(suffix: str, kind: Kind, tasks: int, number: int | None = None) -> Phase:
        return Phase(
            name=f"{point}-{suffix}",
            kind=kind,
            workload=workload.name,
            workers=workers,
            tasks=tasks,
            round=number,
        )

    rounds = [phase(f"r{n:02d}", "round", workload.tasks, n) for n in range(1, workload.rounds + 1)]
    warmup = phase("warmup", "warmup", min(workload.tasks, warmup_tasks))
    return [warmup, *rounds, phase("drain", "drain", workload.drain_tasks)]


def load_definition(name: str, folder: Path = DEFINITIONS) -> Definition:
    """The named definition. Raises UsageError for an unknown name or a file that does not fit."""
    path = folder / f"{name}.toml"
    known = sorted(file.stem for file in folder.glob("*.toml"))
    if name not in known:
        raise UsageError(f"no experiment named {name!r}{did_you_mean(name, known)}")
    try:
        return Definition.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"{path.name} is not a usable definition: {error}") from error


def resolve(definition: Definition, asked: Mapping[str, object]) -> Spec:
    """The definition with the caller's parameters in place.

    A parameter of None or "" counts as not given. Raises UsageError for unknown names and bad
    values.
    """
    given = read_asked(asked)
    names = given.workloads or list(definition.workloads)
    for name in names:
        if name not in definition.workloads:
            raise UsageError(
                f"no workload named {name!r}{did_you_mean(name, definition.workloads)}"
            )
    return Spec(
        name=definition.name,
        notebook=definition.notebook,
        runtime=given.runtime or "native",
        tasks=given.tasks or definition.tasks,
        rounds=given.rounds or definition.rounds,
        workers=given.workers or definition.workers,
        in_flight=given.in_flight or definition.in_flight,
        warmup_tasks=definition.warmup_tasks,
        batch_size=definition.batch_size,
        floor_tasks=max(
            min(_LEAST_FLOOR_TASKS, definition.floor_tasks),
            in_proportion(
                definition.floor_tasks,
                asked=(given.tasks or definition.tasks) * (given.rounds or definition.rounds),
                defined=definition.tasks * definition.rounds,
            ),
        ),
        seed=definition.seed if given.seed is None else given.seed,
        settings=definition.settings,
        workloads=[_resolve_workload(name, definition, given) for name in names],
    )


def read_asked(asked: Mapping[str, object]) -> Asked:
    """The caller's parameters, checked. Raises UsageError."""
    given = {name: value for name, value in asked.items() if value is not None and value != ""}
    for name in given:
        if name not in Asked.model_fields:
            raise UsageError(f"unknown parameter {name!r}{did_you_mean(name, Asked.model_fields)}")
    try:
        return Asked.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors()
        )
        raise UsageError(problems) from error


def _resolve_workload(name: str, definition: Definition, given: Asked) -> Workload:
    base = definition.workloads[name]
    tasks = given.tasks or definition.tasks
    rounds = given.rounds or base.rounds or definition.rounds
    return Workload(
        name=name,
        task_type=base.task_type,
        payload=base.payload,
        expect=base.expect,
        tasks=tasks,
        rounds=rounds,
        drain_tasks=given.drain_tasks
        or in_proportion(
            base.drain_tasks,
            asked=tasks * rounds,
            defined=definition.tasks * (base.rounds or definition.rounds),
        ),
    )


def in_proportion(tasks: int, *, asked: int, defined: int) -> int:
    """Tasks of a drain or of the floor: a smaller run gets proportionally smaller ones.

    asked, defined: tasks of all rounds together, as asked for and as the definition has them. A
    larger run keeps the definition's number, which is long enough to be measured.
    """
    return max(1, round(tasks * min(1.0, asked / defined)))
