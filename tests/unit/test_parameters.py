from typing import Any

import numpy as np
import pytest
from nbformat import NotebookNode, from_dict
from task_lab.errors import UsageError
from task_lab.parameters import (
    NotebookUnusable,
    ParametersRefused,
    check_parameters,
    declared_parameters,
)

SOURCE = """\
tasks: int = 2000
rate: float = 1.5
name: str = ""
dry: bool = False
workers: list[int] = [1, 3]
labels: dict[str, int] = {"a": 1}
limit: int | None = None
"""


def notebook(*cells: tuple[str, list[str]]) -> NotebookNode:
    found: NotebookNode = from_dict(  # type: ignore[no-untyped-call]
        {
            "cells": [
                {"cell_type": "code", "source": source, "metadata": {"tags": tags}}
                for source, tags in cells
            ]
        }
    )
    return found


def check(**given: object) -> dict[str, Any]:
    declared = declared_parameters(notebook((SOURCE, ["parameters"])), "n.ipynb")
    return check_parameters(declared, given, "n.ipynb")


def test_names_types_and_defaults_are_read_without_running_the_cell() -> None:
    declared = declared_parameters(notebook((SOURCE, ["parameters"])), "n.ipynb")
    assert {n: (p.annotation, p.default) for n, p in declared.items()} == {
        "tasks": ("int", 2000),
        "rate": ("float", 1.5),
        "name": ("str", ""),
        "dry": ("bool", False),
        "workers": ("list[int]", [1, 3]),
        "labels": ("dict[str, int]", {"a": 1}),
        "limit": ("int | None", None),
    }


def test_a1_a_notebook_without_a_parameters_tag_is_refused_by_name() -> None:
    with pytest.raises(NotebookUnusable, match=r"n\.ipynb: no code cell has the tag 'parameters'"):
        declared_parameters(notebook((SOURCE, [])), "n.ipynb")


def test_two_parameters_cells_are_refused() -> None:
    with pytest.raises(NotebookUnusable, match="2 cells"):
        declared_parameters(notebook((SOURCE, ["parameters"]), ("", ["parameters"])), "n.ipynb")


@pytest.mark.parametrize(
    "source",
    [
        "tasks = 5",
        "tasks: int",
        "tasks: int = 2 + n",
        "tasks: int = 'five'",
        "import os",
        "tasks: Fraction = 1",
        "tasks: dict[int, int] = {}",
        "tasks: int = (",
    ],
)
def test_a_parameters_cell_holds_annotated_literals_only(source: str) -> None:
    with pytest.raises(NotebookUnusable, match="cannot be read"):
        declared_parameters(notebook((source, ["parameters"])), "n.ipynb")


def test_a2_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ParametersRefused) as refused:
        check(wrokers=[3], tasks=5)
    assert refused.value.problems == {"wrokers": "is unknown; did you mean 'workers'?"}
    assert refused.value.exit_code == UsageError.exit_code == 64


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ParametersRefused) as refused:
        check(zzz=1, tasks="5", rate=None)
    assert set(refused.value.problems) == {"zzz", "tasks", "rate"}


@pytest.mark.parametrize(
    "given",
    [
        {"tasks": 7},
        {"rate": 0.25},
        {"name": 'x"\n é 2026-01-01'},
        {"dry": True},
        {"workers": [1, 2, 3]},
        {"workers": []},
        {"labels": {"b": 2}},
        {"limit": None},
        {"limit": 3},
    ],
)
def test_values_of_the_declared_type_are_passed_on_as_they_are(given: dict[str, object]) -> None:
    checked = check(**given)
    assert checked == given
    assert [type(v) for v in checked.values()] == [type(v) for v in given.values()]


def test_a_whole_number_is_passed_on_as_the_float_that_was_declared() -> None:
    assert isinstance(check(rate=2)["rate"], float)


@pytest.mark.parametrize(
    "given",
    [
        {"tasks": "7"},
        {"tasks": 7.0},
        {"tasks": True},
        {"tasks": np.int64(7)},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"rate": "3.10"},
        {"name": 3.1},
        {"dry": "on"},
        {"dry": 1},
        {"workers": (1, 3)},
        {"workers": ["1"]},
        {"workers": 3},
        {"labels": {1: 50}},
        {"labels": {"a": (1,)}},
    ],
)
def test_a4_a5_what_the_kernel_would_see_differently_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ParametersRefused):
        check(**given)
