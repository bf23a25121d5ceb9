"""An experiment as data: its definition file, what a caller may override, what that resolves to.

Nothing here runs anything. A definition has strict keys; a parameter nobody knows is refused with
the nearest known name, before a kernel or a server is started.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from task_lab.errors import UsageError, did_you_mean
from task_lab.spec.base import Asked, Spec, in_proportion, told
from task_lab.spec.records import MEASURED, Limit, Part, Phase, PhaseKind, RuntimeName, Workload
from task_lab.spec.search import SaturationDefinition, SaturationSpec
from task_lab.spec.steady import (
    FaultsDefinition,
    FaultsSpec,
    RetriesDefinition,
    RetriesSpec,
    SteadySpec,
)
from task_lab.spec.sweep import (
    ScalingDefinition,
    ScalingSpec,
    SweepSpec,
    ThroughputDefinition,
    ThroughputSpec,
)

__all__ = [
    "MEASURED",
    "Asked",
    "Definition",
    "FaultsSpec",
    "Limit",
    "Part",
    "Phase",
    "PhaseKind",
    "RetriesSpec",
    "RuntimeName",
    "SaturationSpec",
    "ScalingSpec",
    "Spec",
    "SteadySpec",
    "SweepSpec",
    "ThroughputSpec",
    "Workload",
    "definition_path",
    "in_proportion",
    "load_definition",
    "names_of_definitions",
    "read_spec",
    "resolve",
]

DEFINITIONS = Path(__file__).resolve().parents[2] / "definitions"

Definition = (
    ThroughputDefinition
    | ScalingDefinition
    | RetriesDefinition
    | FaultsDefinition
    | SaturationDefinition
)
_AnySpec = ThroughputSpec | ScalingSpec | RetriesSpec | FaultsSpec | SaturationSpec
_DEFINITION: TypeAdapter[Definition] = TypeAdapter(
    Annotated[Definition, Field(discriminator="kind")]
)
_SPEC: TypeAdapter[_AnySpec] = TypeAdapter(Annotated[_AnySpec, Field(discriminator="kind")])


def names_of_definitions(folder: Path = DEFINITIONS) -> list[str]:
    """The experiments that come with the lab."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def definition_path(name: str, folder: Path = DEFINITIONS) -> Path:
    """The file behind the name of an experiment, or the file itself. Raises UsageError."""
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        known = names_of_definitions(folder)
        raise UsageError(f"no experiment named {name!r}{did_you_mean(name, known)}")
    return path


def load_definition(name: str, folder: Path = DEFINITIONS) -> Definition:
    """The named definition, or the one in a file of the caller's own (`./mine.toml`).

    Raises UsageError for an unknown name or a file that does not fit.
    """
    path = definition_path(name, folder)
    try:
        return _DEFINITION.validate_python(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not a usable definition: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{path.name} is not a usable definition: {told(error)}") from error


def resolve(definition: Definition, asked: Mapping[str, object]) -> Spec:
    """The definition with the caller's parameters in place.

    A parameter of None or "" counts as not given. Raises UsageError for unknown names and bad
    values.
    """
    try:
        return definition.resolve(asked)
    except ValidationError as error:
        raise UsageError(told(error)) from error


def read_spec(resolved: Mapping[str, Any]) -> Spec:
    """The spec that a run.json keeps as `params.resolved`. Raises UsageError."""
    try:
        return _SPEC.validate_python(dict(resolved))
    except ValidationError as error:
        raise UsageError(f"the run's parameters cannot be read: {told(error)}") from error
