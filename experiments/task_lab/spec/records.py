"""What every experiment is made of: parts of a workload, workloads, phases, limits. Data only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from task_lab.errors import did_you_mean

RuntimeName = Literal["native", "compose", "auto"]
PhaseKind = Literal["warmup", "round", "drain", "load", "probe", "step"]
# Phases whose figures are of the experiment: the others prepare it, or look for something.
MEASURED: tuple[PhaseKind, ...] = ("round", "drain", "load", "step")

Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
WorkerCount = Annotated[int, Field(strict=True, ge=1, le=64)]
InFlight = Annotated[int, Field(strict=True, ge=1, le=1_000)]
Rate = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Record(BaseModel):
    """Frozen, and strict about keys: a name nobody knows is an error, not a default.

    Numbers are finite: a limit of NaN would always be kept to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(Record):
    """One kind of task of a workload, and how every such task must end.

    share: its part of the workload, relative to the other parts'. expect: the result a succeeded
    one must have; None leaves it uncompared. attempts: how many it takes when nothing disturbs it.
    reason: the kind of error its dead letter names; None leaves it uncompared. group: under which
    name a caller changes its share.
    """

    name: str
    task_type: str
    payload: Any
    share: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    group: str | None = None
    expect: Any = None
    ends: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED"
    reason: str | None = None
    attempts: Annotated[int, Field(ge=1)] = 1
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None

    def submission(self) -> dict[str, Any]:
        """The body of one submission."""
        body = {"task_type": self.task_type, "payload": self.payload}
        return body if self.max_retries is None else {**body, "max_retries": self.max_retries}

    def submission_text(self) -> str:
        """The body as JSON text."""
        return json.dumps(self.submission())


class Workload(Record):
    """What to offer, with its numbers settled.

    tasks: of a round or a load. batch_size: tasks in one request of those; 1 means single POSTs.
    """

    name: str
    parts: Annotated[list[Part], Field(min_length=1)]
    tasks: Count
    rounds: int = 1
    drain_tasks: int = 0
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1

    @model_validator(mode="after")
    def _parts_have_names_and_shares(self) -> Self:
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError(f"workload {self.name!r} has two parts of one name")
        if not sum(part.share for part in self.parts) > 0:
            raise ValueError(f"the shares of workload {self.name!r} come to nothing")
        return self

    @property
    def task_types(self) -> list[str]:
        """The types of its parts, each once."""
        return list(dict.fromkeys(part.task_type for part in self.parts))


class Phase(Record):
    """One stretch of load. `round` counts from 1 and is None where there is only one.

    offered_per_s, duration_s: of a paced load; None in a closed loop. fraction: of the highest
    sustainable rate, in a ladder.
    """

    name: str
    kind: PhaseKind
    workload: str
    workers: int
    tasks: int
    round: int | None = None
    offered_per_s: float | None = None
    duration_s: float | None = None
    fraction: float | None = None


class Limit(Record):
    """What a figure must keep to: `min`, `max` or both."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a limit has a min or a max")
        return self


# What an objective may limit, in every point of a summary.
OBJECTIVES = (
    "submit_per_s",
    "drain_per_s",
    "end_to_end_per_s",
    "achieved_per_s",
    "achieved_over_offered",
    *(
        f"{latency}_{q}_s"
        for latency in ("queue_wait", "end_to_end", "from_send")
        for q in ("p50", "p95", "p99")
    ),
)


def _known_objectives(value: object) -> object:
    for name in value if isinstance(value, Mapping) else ():
        if name not in OBJECTIVES:
            raise ValueError(f"no figure named {name!r}{did_you_mean(str(name), OBJECTIVES)}")
    return value


Objectives = Annotated[dict[str, Limit], BeforeValidator(_known_objectives)]


class PartDefinition(Record):
    """A part as a definition file has it.

    payload_bytes: the payload's JSON text is filled up to so many bytes, under the key `fill`.
    expect_payload: the result must be the payload itself, as `echo` returns it.
    """

    task_type: str
    payload: Any = Field(default_factory=dict)
    payload_bytes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    expect: Any = None
    expect_payload: bool = False
    ends: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED"
    reason: str | None = None
    attempts: Annotated[int, Field(strict=True, ge=1)] = 1
    max_retries: Annotated[int, Field(strict=True, ge=0, le=100)] | None = None
    share: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    group: str | None = None

    def part(self, name: str) -> Part:
        """The part that this stands for. Raises ValueError where its payload cannot be filled."""
        payload = filled(self.payload, self.payload_bytes)
        own = self.model_dump(include={"task_type", "ends", "reason", "attempts", "max_retries"})
        return Part(
            name=name,
            payload=payload,
            expect=payload if self.expect_payload else self.expect,
            share=self.share,
            group=self.group,
            **own,
        )


def filled(payload: Any, size_bytes: int | None) -> Any:
    """The payload with a text under `fill` that brings its JSON text to `size_bytes`."""
    if size_bytes is None:
        return payload
    if not isinstance(payload, Mapping):
        raise ValueError("only a payload that is an object can be filled up")
    missing = size_bytes - len(json.dumps({**payload, "fill": ""}).encode())
    if missing < 0:
        raise ValueError(f"the payload is larger than {size_bytes} bytes already")
    return {**payload, "fill": "x" * missing}


def as_list(value: object) -> object:
    """Lists may come as text ("1,3" on a command line) or as a single value."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return [int(part) if part.isdecimal() else part for part in parts]
    return [value] if isinstance(value, int | float) else _listed(value)


def as_numbers(value: object) -> object:
    """Numbers may come as text ("0.1,0.5")."""
    if isinstance(value, str):
        return [float(part) for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else _listed(value)


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


WorkerCounts = Annotated[list[WorkerCount], BeforeValidator(as_list)]
Names = Annotated[list[str], BeforeValidator(as_list)]
