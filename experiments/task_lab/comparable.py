"""Which runs may be held against each other: of one experiment, its parameters, one machine.

Reading and refusing only; what changed between them is `compare`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from task_lab.check.verdict import Verdict
from task_lab.errors import Unknown, UsageError
from task_lab.schema import upgraded_summary
from task_lab.store import RunFolder, Unreadable

# What tells the points of a sweep apart, as far as a point has it.
_KEYS = ("workload", "workers", "kind", "fraction")

_NEEDED = ("experiment", "verdict", "params", "machine")
ABSENT = "absent"

PointKey = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Allowed:
    """What a caller takes upon himself."""

    different: bool = False
    other_machine: bool = False
    any_verdict: bool = False


@dataclass(frozen=True)
class Measured:
    """A run and its summary, and the points of that by what tells them apart."""

    path: Path
    run: Mapping[str, Any]
    summary: Mapping[str, Any]
    points: Mapping[PointKey, Mapping[str, Any]]

    @property
    def name(self) -> str:
        return self.path.name


class Difference(NamedTuple):
    """A parameter that two runs do not share; `ABSENT` where a run has none of that name."""

    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


def read_measured(folder: RunFolder) -> Measured:
    """A run with its summary. Raises Unknown where there is nothing to compare in it."""
    run = folder.run()
    if missing := [name for name in _NEEDED if name not in run]:
        raise Unreadable(folder / "run.json", f"it lacks {', '.join(missing)}")
    try:
        summary = folder.read_json("summary.json")
    except FileNotFoundError:
        raise Unknown(f"{folder.path} has no summary.json: nothing to compare") from None
    if not isinstance(summary, dict) or "points" not in summary:
        raise Unknown(f"the summary of {folder.path} has no points with rounds to compare")
    summary = upgraded_summary(summary)
    points: dict[PointKey, Mapping[str, Any]] = {}
    for point in summary["points"]:
        key = tuple((name, point[name]) for name in _KEYS if name in point)
        points.setdefault(key, point)
    return Measured(folder.path, run, summary, points)


def read_sides(*sides: Sequence[RunFolder]) -> list[list[Measured]]:
    """The runs of each side. Raises UsageError for one that is named twice, or of another kind."""
    experiments = {folder.path: str(folder.run().get("experiment")) for s in sides for folder in s}
    if len(experiments) < sum(map(len, sides)):
        raise UsageError("a run is named twice: nothing changes between a run and itself")
    if len(set(experiments.values())) > 1:
        told = ", ".join(f"{path.name} is of {name}" for path, name in experiments.items())
        raise UsageError(f"{told}: different experiments are not compared")
    return [[read_measured(folder) for folder in side] for side in sides]


def check_comparable(
    before: Sequence[Measured], after: Sequence[Measured], allowed: Allowed
) -> list[Difference]:
    """The parameters that differ between the sides. Raises UsageError where that is not allowed."""
    runs = [*before, *after]
    first = runs[0]
    _refuse_unless(
        allowed.any_verdict,
        [f"{one.name} is {one.run['verdict']}" for one in runs if not _is_pass(one)],
        "its figures are not to be relied on; --any-verdict compares them all the same",
    )
    found = {d.name: d for one in runs[1:] for d in differences(first, one)}
    _refuse_unless(
        allowed.different,
        [str(difference) for difference in found.values()],
        "the runs had different parameters; --allow-different compares them all the same",
    )
    _refuse_unless(
        allowed.other_machine,
        [
            f"{one.name} ran on machine {fingerprint(one)}, {first.name} on {fingerprint(first)}"
            for one in runs[1:]
            if fingerprint(one) != fingerprint(first)
        ],
        "figures of different machines say nothing about the software; "
        "--allow-other-machine prints them all the same",
    )
    return list(found.values())


def differences(before: Measured, after: Measured) -> list[Difference]:
    """The resolved parameters that two runs do not share, by name."""
    return different_parameters(parameters(before.run), parameters(after.run))


def parameters(run: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved parameters of a run by dotted name; its runtime is the one it had."""
    return flat({**run["params"]["resolved"], "runtime": run.get("runtime")})


def different_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The names whose values are not the same, in the order in which they first come."""
    return [
        Difference(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in dict.fromkeys([*before, *after])
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Values by dotted name. Records in a list go by their own name, else the list is one value."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and "name" in v for v in value)
    ):
        value = {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in value}
    if not isinstance(value, dict) or not value:
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{name}.{key}" if name else str(key))
    return found


def _refuse_unless(allowed: bool, problems: Iterable[str], meaning: str) -> None:
    told = list(dict.fromkeys(problems))
    if told and not allowed:
        raise UsageError(f"{'; '.join(told)}: {meaning}")


def fingerprint(one: Measured) -> str | None:
    """The machine of a run, as far as results depend on it."""
    found: str | None = (one.run.get("machine") or {}).get("fingerprint")
    return found


def _is_pass(one: Measured) -> bool:
    return bool(one.run["verdict"] == Verdict.PASS)
