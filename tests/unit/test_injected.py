"""What papermill gives to a notebook: names that it never declared, values of other types."""

from __future__ import annotations

import pytest
from task_lab.injected import injected_names, injected_problems, refuse_undeclared

DECLARED = "tasks: int = 500\nworkers: str = '1,3'\nrate: float = 1.0\ndry: bool = False"


def test_only_injected_cells_give_parameters() -> None:
    sources = ["", "tasks: int = 500\nworkers = '1,3'", "# Parameters\ntasks = 5\nwrokers = 3\n"]
    assert injected_names(sources) == ["tasks", "wrokers"]


def test_outside_a_notebook_nothing_is_refused() -> None:
    refuse_undeclared(())


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ("tasks = 5\nrate = 2\ndry = True\nworkers = '3'", set()),
        ("workers = 3", set()),
        ("workers = 3.1", {"workers"}),
        ("workers = True", {"workers"}),
        ("workers = None", {"workers"}),
        ("workers = [1, 3]", {"workers"}),
        ("tasks = '5'\nrate = float('nan')\ndry = 1", {"tasks", "rate", "dry"}),
        ("tasks = '5'\ntasks = 5", set()),
    ],
)
def test_a4_values_of_another_type_than_declared_are_told(values: str, refused: set[str]) -> None:
    found = injected_problems(["", DECLARED, f"# Parameters\n{values}\n", "open()"])
    assert set(found) == refused
    assert all(problem.startswith("must be") for problem in found.values())


def test_a1_values_above_the_cell_that_declares_them_are_told() -> None:
    found = injected_problems(["", "# Parameters\ntasks = 10\n", DECLARED])
    assert found == {"tasks": "was given above the cell that declares it, and is replaced there"}


def test_a_notebook_that_declares_nothing_is_not_judged() -> None:
    assert injected_problems(["", "# Parameters\ntasks = '10'\n", "tasks = 3"]) == {}
