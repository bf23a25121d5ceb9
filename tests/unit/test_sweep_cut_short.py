"""A sweep that crashed half-way: its points are never taken for a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from task_lab.check.invariants import check_phases_complete
from task_lab.check.verdict import Verdict
from task_lab.errors import UsageError
from task_lab.run import open_experiment
from task_lab.spec import load_definition, resolve

from .check.evidence import good_evidence


def test_a19_a_sweep_that_crashed_at_its_third_point_is_not_complete() -> None:
    asked = {"tasks": 10, "rounds": 2, "drain_tasks": 15, "workloads": "sum"}
    sweep = resolve(load_definition("throughput"), {**asked, "workers": "1,3,2,4,5,6"})
    phases = [phase.name for phase in sweep.phases()]
    begun = phases[: len(phases) // 3 + 1]
    whole = good_evidence()
    events = [event for event in whole.events if event.get("phase") in begun[:-1]]
    check = check_phases_complete(replace(whole, spec=sweep, events=events))
    assert check.verdict is Verdict.UNKNOWN
    assert check.observed["missing"] == phases[len(begun) - 1 :]


def test_a19_a_crashed_sweep_is_not_gone_on_with_but_run_anew(tmp_path: Path) -> None:
    crashed = open_experiment("throughput", results=tmp_path)
    crashed.close()
    with pytest.raises(UsageError, match="already holds a run"):
        open_experiment("throughput", run_folder=crashed.folder)
    again = open_experiment("throughput", results=tmp_path)
    assert again.folder != crashed.folder
    again.close()
