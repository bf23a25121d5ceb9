"""The runs that are sabotaged: small ones of each kind, made on the spot on the native runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from task_lab.execute import execute_run
from task_lab.run import new_run
from task_lab.store import RunFolder

_LADDER = Path(__file__).with_name("ladder.toml")

# The experiment's name or its definition, and what is asked of it.
BASES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "throughput": (
            "throughput",
            {"tasks": 200, "rounds": 2, "drain_tasks": 800, "workers": "1,2", "workloads": "sum"},
        ),
        "retries_and_dlq": ("retries_and_dlq", {"tasks": 300, "per_s": 40.0}),
        "faults": (
            "faults",
            {
                "tasks": 1500,
                "per_s": 50.0,
                "faults": "kill worker-1 at 5 for 2; freeze worker-2 at 16 for 3",
            },
        ),
        "saturation": (str(_LADDER), {"per_s": 60.0, "step_s": 4.0, "fractions": "0.5,1.0"}),
    }
)


def make_base(kind: str, results: Path) -> RunFolder:
    """A small run of the kind, through its notebook as any other. Raises what ended it early."""
    definition, asked = BASES[kind]
    folder = new_run(definition, dict(asked), results=results)
    execute_run(folder, asked)
    return folder
