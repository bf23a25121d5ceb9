"""How a command ended can be told from its exit code, and the page says which is which."""

from __future__ import annotations

import re

from task_lab.check.verdict import EXIT_CODES, EXIT_INTERNAL, EXIT_USAGE, Verdict
from task_lab.errors import InvalidRun, LabError
from task_lab.notebook import CellTimedOut, EndedEarly, KernelDied
from task_lab.parameters import ParametersRefused
from task_lab.store import PROJECT

DEAD_KERNEL = KernelDied("n.ipynb", 3).exit_code
MISSED_OBJECTIVE = EXIT_CODES[Verdict.FAIL]
BAD_PARAMETER = ParametersRefused("n.ipynb", {"wrokers": "is unknown"}).exit_code


def test_a10_a_dead_kernel_a_missed_objective_and_a_bad_parameter_end_differently() -> None:
    assert (MISSED_OBJECTIVE, DEAD_KERNEL, BAD_PARAMETER) == (1, 2, 64)
    assert CellTimedOut("n.ipynb", 3, 60).exit_code == DEAD_KERNEL == EXIT_CODES[Verdict.UNKNOWN]
    assert EndedEarly("n.ipynb", 3).exit_code == InvalidRun.exit_code == EXIT_CODES[Verdict.INVALID]
    assert BAD_PARAMETER == EXIT_USAGE
    assert LabError.exit_code == EXIT_INTERNAL


def test_a10_every_exit_code_is_documented_once() -> None:
    page = (PROJECT / "docs" / "reference" / "command-lines.md").read_text("utf-8")
    of_lab = page.split("## `task-lab`")[1]
    documented = [int(code) for code in re.findall(r"^\| (\d+) \| ", of_lab, re.MULTILINE)]
    assert len(documented) == len(set(documented))
    regression = 3
    assert set(documented) == {*EXIT_CODES.values(), EXIT_USAGE, EXIT_INTERNAL, regression}
