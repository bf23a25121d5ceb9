"""What every group of measurements works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from task_lab.bench.measurements import Disturbed, Measurements
from task_lab.bench.plan import Plan
from task_lab.bench.rows import Group
from task_lab.bench.sitting import Sitting
from task_lab.runtime.base import NO_SETTINGS


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench on its way. scratch: a folder that is deleted at its end."""

    plan: Plan
    folder: Path
    scratch: Path
    measured: Measurements

    def sitting(
        self, name: str, *, workers: int = 1, settings: Mapping[str, str] = NO_SETTINGS
    ) -> Sitting:
        """A stack of that name, not yet up; its logs stay in the run's folder."""
        return Sitting(
            self.folder / "stacks" / name,
            workers=workers,
            settings=settings,
            on_end=lambda cores: self.measured.append(Disturbed(stack=name, cores=cores)),
        )

    def keep_cpu(
        self, group: Group, name: str, cpu_s: Mapping[str, float], *, tasks: int, cycle: int
    ) -> None:
        """Keep what so many tasks took, as milliseconds for one, by part and in all."""
        parts = {part: used_s * 1e3 / tasks for part, used_s in cpu_s.items()}
        self.measured.add(group, name, sum(parts.values()), cycle=cycle, parts=parts)
