"""How much a bench measures: its groups, and the sizes that `--scale` makes smaller. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from task_lab.bench.rows import Group
from task_lab.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of task. expect: the result each must end with, as JSON text."""

    task_type: str
    payload: dict[str, Any]
    expect: str

    @property
    def body(self) -> str:
        """The body of one submission."""
        return json.dumps({"task_type": self.task_type, "payload": self.payload})


SUM = Workload("sum", {"numbers": [1, 2, 3, 4, 5]}, '{"sum": 15}')
SLEEP = Workload("sleep", {"seconds": 0.1}, '{"slept_s": 0.1}')


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. cycles: repetitions of each comparison; scale: of every size, 1 is whole."""

    groups: tuple[Group, ...] = tuple(Group)
    cycles: int = 5
    scale: float = 1.0

    def tasks(self, whole: int, *, least: int = 200) -> int:
        """So many tasks at this scale, rounded to whole batches of 100."""
        return max(least, round(whole * self.scale / 100) * 100)

    def seconds(self, whole: float, *, least: float = 1.0) -> float:
        """So many seconds at this scale."""
        return max(least, whole * self.scale)

    @property
    def drain_tasks(self) -> int:
        return self.tasks(20_000)

    @property
    def sleep_cycles(self) -> int:
        """Fewer than elsewhere: a drain of tasks that wait takes long, and hardly varies."""
        return max(1, self.cycles // 2)

    @property
    def pairs(self) -> int:
        """Drains with a full and an empty table, side by side; an interval needs several."""
        return max(3, 2 * self.cycles)

    def has(self, *groups: Group) -> bool:
        """Whether any of these groups is to be measured."""
        return any(group in self.groups for group in groups)


def read_groups(text: str) -> tuple[Group, ...]:
    """The groups named in a comma-separated list, in measuring order; all of them for none.

    Raises UsageError for a name that is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    known = [group.value for group in Group]
    for name in names:
        if name not in known:
            raise UsageError(f"no group named {name!r}{did_you_mean(name, known)}")
    return tuple(group for group in Group if not names or group in names)


def described(plan: Plan) -> dict[str, Any]:
    """The plan as run.json keeps it, with what it leaves out."""
    left_out: Sequence[Group] = [group for group in Group if group not in plan.groups]
    return {
        "groups": list(plan.groups),
        "left_out": list(left_out),
        "cycles": plan.cycles,
        "scale": plan.scale,
    }
