"""From a run folder to a verdict: execute the experiment's notebook, render it, judge the run.

The notebook's kernel is a child process that owns the stack. Whatever becomes of it, the run ends
with a verdict here, and never with PASS unless every required output is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from task_lab.check.judge import check_run, judge_run
from task_lab.check.verdict import EXIT_CODES, Verdict
from task_lab.errors import LabError
from task_lab.measure import time_limit_s
from task_lab.notebook import execute, missing_outputs
from task_lab.report.index import rebuild_index
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.summary import summarise
from task_lab.spec import read_spec
from task_lab.store import PROJECT, RunFolder, utc_text

NOTEBOOKS = PROJECT / "notebooks"
# Beside the load itself: the stack's start, scaling, calibration, reading the ledger.
_OTHER_WORK_S = 600.0


def execute_run(folder: RunFolder, asked: Mapping[str, Any]) -> Verdict:
    """Execute the run's notebook and return the verdict that now stands in run.json.

    Raises what ended the notebook early; the run then is UNKNOWN, INVALID or INTERRUPTED.
    """
    spec = read_spec(folder.run()["params"]["resolved"])
    try:
        execute(
            NOTEBOOKS / spec.notebook,
            folder / "report.ipynb",
            {**asked, "run_folder": str(folder.path)},
            cell_timeout_s=_OTHER_WORK_S + time_limit_s(spec),
        )
    except KeyboardInterrupt:
        _end_early(folder, Verdict.INTERRUPTED, "interrupted")
        raise
    except LabError as error:
        _end_early(folder, _verdict_of(error), f"{type(error).__name__}: {error}")
        raise
    finally:
        _rebuild_index(folder)
    return render(folder)


def render(folder: RunFolder) -> Verdict:
    """Judge the run by what is on disk and render the executed notebook, which says how it went."""
    verdict = judge_run(folder)
    render_html(folder.path)
    if verdict is Verdict.PASS and (missing := missing_outputs(folder.path)):
        verdict = Verdict.INVALID
        folder.update_run(verdict=verdict, reason=f"missing: {', '.join(missing)}")
        render_html(folder.path)
    _rebuild_index(folder)
    return verdict


def analyse(folder: RunFolder) -> Verdict:
    """Make checks, summary, figures and report anew from the raw data, which stays as it is."""
    check_run(folder)
    summarise(folder.path)
    draw(folder.path)
    return render(folder)


def _rebuild_index(folder: RunFolder) -> None:
    """Rebuild the index of the results the run is one of; a copy kept elsewhere has none."""
    if folder.path.parent.name == folder.run()["experiment"]:
        rebuild_index(folder.path.parents[1])


def _verdict_of(error: LabError) -> Verdict:
    """By the exit code: a cell's failure carries that of the error which the cell raised."""
    for verdict in (Verdict.INTERRUPTED, Verdict.INVALID):
        if error.exit_code == EXIT_CODES[verdict]:
            return verdict
    return Verdict.UNKNOWN


def _end_early(folder: RunFolder, verdict: Verdict, reason: str) -> None:
    """Say in run.json that the run did not come to its end, whatever it said of itself before."""
    run = folder.run()
    ended = "interrupted" if verdict is Verdict.INTERRUPTED else "crashed"
    ended_at = run["ended_at"] or utc_text()
    folder.update_run(verdict=verdict, ended=ended, ended_at=ended_at, reason=reason)
    # What there is can be read by people as well; where it cannot (a full disk), the run still ends
    # for its own reason.
    with suppress(LabError, OSError):
        render_html(folder.path)
