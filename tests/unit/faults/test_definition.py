"""The plan of faults in a definition, and what is refused before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from task_lab.errors import UsageError
from task_lab.spec import FaultsSpec, load_definition, resolve

FILE = Path(__file__).parents[3] / "experiments" / "definitions" / "faults.toml"
TABLES = """
[[faults]]
kind = "kill"
target = "worker-1"
at_s = 8
for_s = 2

[[faults]]
kind = "broker_restart"
at_s = 36
"""


def resolved(**asked: Any) -> FaultsSpec:
    spec = resolve(load_definition("faults"), asked)
    assert isinstance(spec, FaultsSpec)
    return spec


def test_the_six_faults_of_the_definition_fit_its_load() -> None:
    assert resolved().faults.count(";") == 5


def test_tables_and_text_are_the_same_plan(tmp_path: Path) -> None:
    head, _, rest = FILE.read_text("utf-8").partition("faults = [")
    tail = rest.partition("]\n")[2]
    own = tmp_path / "own.toml"
    own.write_text(head + tail + TABLES, "utf-8")
    spec = resolve(load_definition(str(own)), {})
    assert isinstance(spec, FaultsSpec)
    assert spec.faults == resolved(faults="kill worker-1 at 8; broker_restart at 36").faults


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"faults": "kil worker-1 at 8"}, "did you mean 'kill'"),
        ({"faults": "kill worker-3 at 8"}, "no worker-3 runs here"),
        ({"tasks": 600}, "after the load of 10 s"),
        ({"run_twice": "maybe"}, "run_twice"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_before_anything_is_started(
    asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        resolved(**asked)


def test_a_load_without_faults_can_be_asked_for() -> None:
    assert resolved(faults="none").faults == "none"


@pytest.mark.parametrize("asked", [{"workers": "2,3"}, {"workers": [1, 2]}])
def test_faults_strike_one_load_only(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="one worker count"):
        resolve(load_definition("faults"), asked)
