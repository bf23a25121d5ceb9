"""Writes folders of scaling runs as the lab leaves them, without a stack."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from task_lab.spec import load_definition, resolve

from .run_folders import FakeRun, write_run

COUNTS = range(1, 7)
# What each workload's workers do together, tasks/s by their number.
CURVES: Mapping[str, Callable[[int], float]] = {
    "sleep": lambda n: 500 * n / (1 + 0.01 * (n - 1) + 0.0005 * n * (n - 1)),
    "sum": lambda n: 2900 / (1 + 0.02 * (n - 1)),
    "cpu": lambda n: 190 * min(n, 2),
}


def write_scaling_run(
    folder: Path,
    *,
    drains: int = 6,
    counts: Sequence[int] = COUNTS,
    workloads: Sequence[str] = tuple(CURVES),
) -> Path:
    """Fill `folder` with the raw files of a finished scaling run and return it."""
    rates = {(name, n): CURVES[name](n) for name in workloads for n in counts}
    fake = FakeRun(rounds=1, tasks=60, drain_tasks=400, drains=drains, rates=rates)
    fake.drain_factor = {"sum": 5.0, "sleep": 1.0, "cpu": 1.0}
    write_run(folder, fake)
    run = json.loads((folder / "run.json").read_text("utf-8"))
    asked = {"workers": list(counts), "drains": drains, "workloads": list(workloads)}
    spec = resolve(load_definition("scaling"), asked)
    run["experiment"] = "scaling"
    run["params"] = {"asked": asked, "resolved": spec.model_dump(mode="json")}
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", "utf-8")
    return folder
