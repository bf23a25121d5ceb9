"""Names that papermill gives to a notebook which never declared them."""

from __future__ import annotations

from task_lab.injected import injected_names, refuse_undeclared


def test_only_injected_cells_give_parameters() -> None:
    sources = ["", "tasks: int = 500\nworkers = '1,3'", "# Parameters\ntasks = 5\nwrokers = 3\n"]
    assert injected_names(sources) == ["tasks", "wrokers"]


def test_outside_a_notebook_nothing_is_refused() -> None:
    refuse_undeclared(())
