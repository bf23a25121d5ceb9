"""Documents of earlier versions are read as this one writes them; later ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_lab.schema import SCHEMA, FromTheFuture, upgraded_run, upgraded_summary
from task_lab.spec import SweepSpec, load_definition, read_spec, resolve
from task_lab.store import RESULTS, RunFolder

OLD_WORKLOAD = {
    "name": "sum",
    "task_type": "sum",
    "payload": {"numbers": [1, 2, 3, 4, 5]},
    "expect": {"sum": 15},
    "tasks": 2000,
    "rounds": 10,
    "drain_tasks": 20000,
}


def old_run() -> dict[str, Any]:
    resolved = resolve(load_definition("throughput"), {"workloads": "sum"}).model_dump(mode="json")
    for name in ("kind", "drains", "handlers", "objectives", "keyed", "is_witnessed"):
        del resolved[name]
    return {
        "schema": 1,
        "experiment": "throughput",
        "params": {"asked": {}, "resolved": {**resolved, "workloads": [OLD_WORKLOAD]}},
    }


def test_a_run_of_version_1_is_a_sweep_of_one_kind_of_task() -> None:
    run = upgraded_run(old_run())
    assert run["schema"] == SCHEMA
    spec = read_spec(run["params"]["resolved"])
    assert isinstance(spec, SweepSpec)
    assert spec == resolve(load_definition("throughput"), {"workloads": "sum"})


def test_a_run_of_this_version_is_left_alone() -> None:
    run = upgraded_run(old_run())
    assert upgraded_run(run) == run


def test_a_bench_of_version_1_keeps_its_own_parameters() -> None:
    bench = {"schema": 1, "experiment": "bench", "params": {"resolved": {"groups": ["drain"]}}}
    assert upgraded_run(bench) == {**bench, "schema": SCHEMA}


@pytest.mark.parametrize("version", [SCHEMA + 1, "2", None])
def test_a_document_of_a_version_nobody_knows_is_refused(version: object) -> None:
    with pytest.raises(FromTheFuture):
        upgraded_run({**old_run(), "schema": version})


def test_a_summary_of_version_1_has_no_headline_and_no_objectives() -> None:
    found = upgraded_summary({"schema": 1, "points": []})
    assert found == {
        "schema": SCHEMA, "kind": "throughput", "points": [], "headline": [], "objectives": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(RESULTS.glob("*/*/summary.json"))
        if (path.parent / "run.json").exists()
    ],
    ids=lambda path: path.parent.name,
)
def test_every_run_kept_here_can_still_be_read(path: Path) -> None:
    run = RunFolder(path.parent).run()
    if run["experiment"] != "bench":
        assert read_spec(run["params"]["resolved"]).name == run["experiment"]
    upgraded_summary(json.loads(path.read_text("utf-8")))
