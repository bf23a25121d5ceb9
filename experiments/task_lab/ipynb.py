"""Reading and writing notebook files, typed; nbformat itself has no types."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from task_lab.store import write_atomically


def read_notebook(path: Path) -> NotebookNode:
    """The notebook. Raises FileNotFoundError, or nbformat's own errors for what is not one."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Replace the file by the notebook in one step."""
    write_atomically(path, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that run, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> set[str]:
    """The cell's tags."""
    return set(cell.metadata.get("tags", []))


def add_error(cell: NotebookNode, ename: str, evalue: str) -> None:
    """Put an error at the end of a code cell's outputs."""
    output = {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": []}
    cell.outputs.append(nbformat.from_dict(output))  # type: ignore[no-untyped-call]
