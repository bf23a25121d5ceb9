"""Runs a notebook through papermill and says truthfully how that ended.

papermill reports a dead kernel as completed cells, an early `sys.exit(0)` as success, and every
failure with the same exit code; here each is an error of its own, and the executed copy is marked
accordingly. Parameters are checked before a kernel starts.
"""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from traitlets.config import Config

from task_lab.errors import InvalidRun, LabError, Unknown, UsageError
from task_lab.ipynb import add_error, code_cells, read_notebook, write_notebook
from task_lab.parameters import check_parameters, declared_parameters
from task_lab.report.parts import FIGURES
from task_lab.report.plots import expected_figures
from task_lab.report.written import read_summary

START_ATTEMPTS = 3
START_TIMEOUT_S = 60
# An interrupted cell stops the stack before it ends; the broker alone may take eight seconds.
SHUTDOWN_WAIT_S = 40.0
REQUIRED = (
    "run.json",
    "history.jsonl",
    "events.jsonl",
    "tasks.parquet",
    "checks.json",
    "summary.json",
    "summary.md",
    "report.ipynb",
    "report.html",
)


class KernelDied(Unknown):
    """The kernel was killed or crashed; what it had written until then is on disk."""

    def __init__(self, notebook: str, cell: int) -> None:
        self.notebook, self.cell = notebook, cell
        super().__init__(f"{notebook}: the kernel died in cell {cell}")


class CellTimedOut(Unknown):
    """A cell ran past its time limit and was stopped."""

    def __init__(self, notebook: str, cell: int, limit_s: float) -> None:
        self.notebook, self.cell, self.limit_s = notebook, cell, limit_s
        super().__init__(f"{notebook}: cell {cell} ran longer than {limit_s:g} s")


class CellFailed(LabError):
    """A cell raised. `exit_code` is that of the error it raised, if that was one of the lab's."""

    def __init__(self, notebook: str, cell: int, ename: str, evalue: str) -> None:
        self.notebook, self.cell, self.ename, self.evalue = notebook, cell, ename, evalue
        vars(self)["exit_code"] = _exit_code_of(ename)
        super().__init__(f"{notebook}: cell {cell} failed: {ename}: {evalue}")


class EndedEarly(InvalidRun):
    """The notebook stopped before its last cell without an error, so it proves nothing."""

    def __init__(self, notebook: str, cell: int) -> None:
        self.notebook, self.cell = notebook, cell
        super().__init__(f"{notebook}: stopped in cell {cell}, before its end")


def execute(
    source: Path,
    output: Path,
    parameters: Mapping[str, object],
    *,
    cell_timeout_s: float | None = None,
) -> None:
    """Run `source` with `parameters` and keep the executed copy in `output`.

    `output` is written after every cell. Raises UsageError before a kernel starts, and KernelDied,
    CellTimedOut, CellFailed or EndedEarly afterwards. A kernel that never came up is tried again.
    """
    try:
        notebook = read_notebook(source)
    except FileNotFoundError:
        raise UsageError(f"there is no notebook {source}") from None
    checked = check_parameters(declared_parameters(notebook, source.name), parameters, source.name)
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            _run(source, output, checked, cell_timeout_s)
        except PapermillExecutionError as error:
            cell = _last_started(read_notebook(output))
            raise CellFailed(source.name, cell, error.ename, error.evalue) from error
        except CellTimeoutError as error:
            cell = _mark_stopped(output, "CellTimedOut", "ran past its time limit")
            raise CellTimedOut(source.name, cell, cell_timeout_s or 0) from error
        except RuntimeError as error:
            cell = _mark_stopped(output, "KernelDied", "the kernel died while this cell ran")
            if cell == 0 and attempt < START_ATTEMPTS:
                continue
            if cell or isinstance(error, DeadKernelError):
                raise KernelDied(source.name, cell) from error
            raise
        except KeyboardInterrupt:
            _mark_stopped(output, "KeyboardInterrupt", "the run was interrupted here")
            raise
        else:
            break
    executed = read_notebook(output)
    unfinished = [c for c in code_cells(executed) if c.execution_count is None]
    if unfinished or _exited(executed):
        raise EndedEarly(source.name, _last_started(executed))


def missing_outputs(folder: Path) -> list[str]:
    """Names of what a finished run should have left in its folder and did not, figures too."""
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if "summary.json" in missing:
        return missing
    figures = [f"{FIGURES}/{name}" for name in expected_figures(read_summary(folder))]
    return missing + [name for name in figures if not (folder / name).is_file()]


def _run(
    source: Path, output: Path, parameters: Mapping[str, Any], cell_timeout_s: float | None
) -> None:
    # Sockets in a folder of its own: kernels started at the same time cannot collide on ports.
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        kernel = {
            "transport": "ipc",
            "connection_file": f"{folder}/k.json",
            "shutdown_wait_time": SHUTDOWN_WAIT_S,
        }
        execute_notebook(  # type: ignore[no-untyped-call]
            source,
            output,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=START_TIMEOUT_S,
            execution_timeout=None if cell_timeout_s is None else math.ceil(cell_timeout_s),
            config=Config({"AsyncKernelManager": kernel}),
        )


def _mark_stopped(output: Path, ename: str, reason: str) -> int:
    """Undo papermill's "completed" from the cell that ran last on; its number, 0 if none ran."""
    if not output.is_file():
        return 0
    notebook = read_notebook(output)
    number = _last_started(notebook)
    for position, cell in enumerate(code_cells(notebook), start=1):
        if position == number:
            cell.metadata.papermill.update(status="failed", exception=True)
            add_error(cell, ename, reason)
        elif position > number:
            cell.metadata.papermill["status"] = "pending"
    notebook.metadata.papermill["exception"] = True
    write_notebook(notebook, output)
    return number


def _last_started(notebook: NotebookNode) -> int:
    """Number of the last code cell that was started, counted from 1; 0 for none."""
    started = [
        position
        for position, cell in enumerate(code_cells(notebook), start=1)
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return started[-1] if started else 0


def _exited(notebook: NotebookNode) -> bool:
    return any(
        output.output_type == "error" and output.ename == "SystemExit"
        for cell in code_cells(notebook)
        for output in cell.outputs
    )


def _exit_code_of(ename: str) -> int:
    """The exit code of the lab's error of that name; an internal failure for any other."""
    if ename == "KeyboardInterrupt":
        return 130
    waiting: list[type[LabError]] = [LabError]
    while waiting:
        kind = waiting.pop()
        if kind.__name__ == ename:
            return kind.exit_code
        waiting += kind.__subclasses__()
    return LabError.exit_code
