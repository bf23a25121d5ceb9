"""What every committed notebook must be, read from its source: no kernel is started."""

import ast
import itertools
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from task_lab.ipynb import code_cells, read_notebook
from task_lab.parameters import declared_parameters
from task_lab.spec import load_definition, names_of_definitions, resolve
from task_lab.store import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def source(request: pytest.FixtureRequest) -> NotebookNode:
    path: Path = request.param
    return read_notebook(path)


@pytest.mark.parametrize("name", names_of_definitions())
def test_every_experiment_has_a_notebook(name: str) -> None:
    assert load_definition(name).notebook in {path.name for path in NOTEBOOKS}


def test_a14_it_is_kept_without_output(source: NotebookNode) -> None:
    for cell in code_cells(source):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert set(source.metadata) <= {"kernelspec", "language_info"}
    assert set(source.metadata.language_info) == {"name"}


def test_it_is_thin(source: NotebookNode) -> None:
    for cell in code_cells(source):
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            assert not isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.For | ast.While | ast.If
            )
            assert not isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp)
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        assert len(calls) <= 1


def test_prose_stands_before_every_cell(source: NotebookNode) -> None:
    kinds = [cell.cell_type for cell in source.cells]
    assert kinds[0] == "markdown"
    before_code = [before for before, kind in itertools.pairwise(kinds) if kind == "code"]
    assert set(before_code) == {"markdown"}


def test_prose_quotes_no_number_that_a_cell_computes(source: NotebookNode) -> None:
    for cell in source.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"`[^`]*`", "", cell.source)
            assert re.findall(r"\d+(?:[.,]\d+)?\s*(?:tasks|%|ms|s\b|times)", prose) == []


def test_every_parameter_is_explained(source: NotebookNode) -> None:
    prose = "\n".join(c.source for c in source.cells if c.cell_type == "markdown")
    for name in declared_parameters(source, "notebook"):
        assert f"`{name}`" in prose


@pytest.mark.parametrize("name", names_of_definitions())
def test_its_defaults_are_the_experiment_s_own(name: str) -> None:
    definition = load_definition(name)
    notebook = read_notebook(PROJECT / "notebooks" / definition.notebook)
    declared = declared_parameters(notebook, definition.notebook)
    assert set(declared) == {*definition.parameters(), "run_folder"}
    given = {n: p.default or None for n, p in declared.items() if n != "run_folder"}
    assert resolve(definition, given) == resolve(definition, {})
