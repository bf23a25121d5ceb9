import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from task_lab.errors import LabError
from task_lab.ipynb import code_cells, read_notebook
from task_lab.notebook import (
    CellFailed,
    CellTimedOut,
    EndedEarly,
    KernelDied,
    execute,
)
from task_lab.parameters import NotebookUnusable, ParametersRefused

NotebookFactory = Callable[..., Path]


def code_cell(source: str, tags: list[str]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"c{hash(source) % 10**9}",
        "source": source,
        "metadata": {"tags": tags},
        "outputs": [],
        "execution_count": None,
    }


@pytest.fixture
def write_notebook(tmp_path: Path) -> NotebookFactory:
    """Makes a notebook of these cells behind a parameters cell."""

    def write(*sources: str, tag: str = "parameters") -> Path:
        first = (
            "tasks: int = 5\nname: str = ''\nrate: dict[str, float] = {}\nsweep: list[int] = []\n"
            "dry: bool = False\nlimit: int | None = 3"
        )
        cells = [code_cell(first, [tag]), *(code_cell(source, []) for source in sources)]
        path = tmp_path / "in.ipynb"
        path.write_text(
            json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        )
        return path

    return write


def statuses(path: Path) -> list[str]:
    cells = code_cells(read_notebook(path))
    return [c.metadata.papermill.status for c in cells if "papermill" in c.metadata]


def kernels() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [p for p in children if any("ipykernel" in part for part in p.cmdline())]


def test_a5_parameters_reach_the_kernel_as_the_values_they_are(
    write_notebook: NotebookFactory, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    source = write_notebook(
        f"open({str(seen)!r}, 'w').write(repr((tasks, name, rate, sweep, dry, limit)))"
    )
    given = {
        "tasks": 7,
        "name": 'a "b"\\n 3.10 é',
        "rate": {"1": 50.0, "x": 0.1},
        "sweep": [1, 3],
        "dry": True,
        "limit": None,
    }
    execute(source, tmp_path / "out.ipynb", given)
    assert seen.read_text() == repr(tuple(given.values()))


@pytest.mark.parametrize(
    "given",
    [
        {"taks": 3},
        {"tasks": "3"},
        {"rate": {1: 50, 3: 150}},
        {"sweep": (1, 3)},
        {"tasks": np.int64(3)},
    ],
)
def test_a2_a5_refused_parameters_start_no_kernel(
    write_notebook: NotebookFactory, tmp_path: Path, given: dict[str, object]
) -> None:
    with pytest.raises(ParametersRefused):
        execute(write_notebook("1"), tmp_path / "out.ipynb", given)
    assert not (tmp_path / "out.ipynb").exists()
    assert kernels() == []


def test_a1_a_missing_tag_starts_no_kernel(write_notebook: NotebookFactory, tmp_path: Path) -> None:
    with pytest.raises(NotebookUnusable):
        execute(write_notebook("1", tag="params"), tmp_path / "out.ipynb", {"tasks": 10})
    assert not (tmp_path / "out.ipynb").exists()


def test_a7_a_killed_kernel_is_an_error_and_its_cells_are_not_completed(
    write_notebook: NotebookFactory, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    source = write_notebook(
        f"import os\nopen({str(kept)!r}, 'w').write('500 tasks')\nos.kill(os.getpid(), 9)", "1"
    )
    with pytest.raises(KernelDied) as died:
        execute(source, tmp_path / "out.ipynb", {})
    assert (died.value.cell, died.value.exit_code) == (2, 2)
    assert statuses(tmp_path / "out.ipynb") == ["completed", "failed", "pending"]
    assert read_notebook(tmp_path / "out.ipynb").metadata.papermill.exception is True
    assert kept.read_text() == "500 tasks"


def test_a7_a_cell_over_its_time_is_interrupted_and_may_clean_up(
    write_notebook: NotebookFactory, tmp_path: Path
) -> None:
    cleaned = tmp_path / "cleaned"
    source = write_notebook(
        "import time\ntry:\n    time.sleep(60)\nfinally:\n"
        f"    time.sleep(0.5); open({str(cleaned)!r}, 'w').write('yes')"
    )
    with pytest.raises(CellTimedOut) as timed_out:
        execute(source, tmp_path / "out.ipynb", {}, cell_timeout_s=1.0)
    assert (timed_out.value.cell, timed_out.value.exit_code) == (2, 2)
    assert cleaned.read_text() == "yes"
    assert statuses(tmp_path / "out.ipynb") == ["completed", "failed"]
    assert kernels() == []


@pytest.mark.parametrize(
    ("source", "ename", "exit_code"),
    [
        ("1 / 0", "ZeroDivisionError", 70),
        ("from task_lab.errors import UsageError\nraise UsageError('x')", "UsageError", 64),
        ("from task_lab.errors import InvalidRun\nraise InvalidRun('x')", "InvalidRun", 4),
        ("import sys\nsys.exit(3)", "SystemExit", 70),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 130),
        ("%nosuchmagic 3", "CellExecutionError", 70),
    ],
)
def test_a9_a10_each_failure_has_its_own_exit_code(
    write_notebook: NotebookFactory, tmp_path: Path, source: str, ename: str, exit_code: int
) -> None:
    with pytest.raises(CellFailed) as failed:
        execute(write_notebook(source, "1"), tmp_path / "out.ipynb", {"tasks": 1})
    assert (failed.value.ename, failed.value.exit_code) == (ename, exit_code)
    assert failed.value.cell == 3  # behind the parameters cell and the injected one
    assert LabError.exit_code == 70


def test_a11_an_early_exit_is_no_success(write_notebook: NotebookFactory, tmp_path: Path) -> None:
    with pytest.raises(EndedEarly) as ended:
        execute(write_notebook("import sys\nsys.exit(0)", "1"), tmp_path / "out.ipynb", {})
    assert (ended.value.cell, ended.value.exit_code) == (2, 4)


@pytest.mark.slow
def test_a12_notebooks_started_together_do_not_collide(
    write_notebook: NotebookFactory, tmp_path: Path
) -> None:
    source = write_notebook("tasks + 1")
    outputs = [tmp_path / f"out{i}.ipynb" for i in range(8)]
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["task_lab.notebook"])
    running = [
        processes.Process(target=execute, args=(source, output, {"tasks": 1})) for output in outputs
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(timeout=100)
    assert [process.exitcode for process in running] == [0] * 8
    for output in outputs:
        assert code_cells(read_notebook(output))[-1].outputs[0].data["text/plain"] == "2"


def test_an_interrupt_reaches_the_cell_and_is_marked(
    write_notebook: NotebookFactory, tmp_path: Path
) -> None:
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    source = write_notebook(
        f"import time\nopen({str(started)!r}, 'w').close()\ntry:\n    time.sleep(60)\n"
        f"finally:\n    open({str(cleaned)!r}, 'w').close()"
    )

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(source, tmp_path / "out.ipynb", {})
    thread.join()
    assert cleaned.exists()
    assert statuses(tmp_path / "out.ipynb")[-1] == "failed"
    assert kernels() == []
