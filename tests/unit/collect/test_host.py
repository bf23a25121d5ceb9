"""The machine a result belongs to: the same fingerprint every time, whatever else is found."""

from __future__ import annotations

import json
from pathlib import Path

from task_lab.collect.host import machine

FOUND = machine()


def test_the_fingerprint_is_the_same_every_time() -> None:
    assert machine()["fingerprint"] == FOUND["fingerprint"]
    assert len(FOUND["fingerprint"]) == 12


def test_the_fingerprint_is_that_of_runs_made_before_on_the_same_machine() -> None:
    root = Path(__file__).resolve().parents[3]
    for file in (root / "results").glob("*/*/run.json"):
        before = json.loads(file.read_text("utf-8"))["machine"]
        gibibytes = [round(found["memory_bytes"] / 2**30) for found in (before, FOUND)]
        is_same = (before["cpu"], before["cores"]) == (FOUND["cpu"], FOUND["cores"])
        if is_same and gibibytes[0] == gibibytes[1]:
            assert before["fingerprint"] == FOUND["fingerprint"]


def test_every_kind_of_fact_is_there_and_can_be_kept() -> None:
    assert set(FOUND) == {
        *("cpu", "cores", "memory_bytes", "kernel", "fingerprint"),
        *("processor", "limits", "memory", "load", "system", "disk", "python", "unstable"),
    }
    assert json.loads(json.dumps(FOUND, allow_nan=False)) == FOUND
