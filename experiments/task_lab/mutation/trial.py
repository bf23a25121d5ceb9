"""One sabotage tried: a copy made, corrupted, judged from disk, and the answer compared."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from task_lab.check.judge import check_run, judge_run
from task_lab.check.verdict import Verdict
from task_lab.errors import InvalidRun, LabError
from task_lab.mutation.copies import Copy, Unfit
from task_lab.mutation.sabotage import ENDED, OBJECTIVES, OUTPUTS, Sabotage
from task_lab.notebook import missing_outputs
from task_lab.report.summary import summarise
from task_lab.store import RunFolder

UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Outcome:
    """What was said of a run. noticed_by: checks that did not pass, or the class of the error."""

    verdict: Verdict
    noticed_by: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Trial:
    """A sabotage of a run of a kind; None where it had nothing to change there.

    is_caught: the verdict is the expected one, said by the check it was expected of.
    """

    kind: str
    name: str
    expected: Verdict
    expected_by: str
    outcome: Outcome | None

    @property
    def is_caught(self) -> bool:
        found = self.outcome
        if found is None or found.verdict is not self.expected:
            return False
        return not self.expected_by or self.expected_by in found.noticed_by


def judge_anew(folder: RunFolder) -> Outcome:
    """Judge a run from its raw files as `task-lab reanalyse` does, without drawing anything.

    An error counts as what `task-lab run` would say of it: INVALID or UNKNOWN. One that is not
    the lab's own is a defect of the lab, and no sabotage is expected to be noticed by it.
    """
    try:
        checks = check_run(folder)
        summary = summarise(folder.path)
        verdict = judge_run(folder)
        run = folder.run()
    except LabError as error:
        verdict = Verdict.INVALID if isinstance(error, InvalidRun) else Verdict.UNKNOWN
        return Outcome(verdict, (type(error).__name__,), str(error))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        return Outcome(Verdict.UNKNOWN, ("crash",), f"the judgement crashed: {told}")
    missing = missing_outputs(folder.path)
    if verdict is Verdict.PASS and missing:
        return Outcome(Verdict.INVALID, (OUTPUTS,), f"missing: {', '.join(missing)}")
    noticed = [one["name"] for one in checks["checks"] if one["verdict"] != Verdict.PASS]
    noticed += [OBJECTIVES] * any(o["verdict"] != Verdict.PASS for o in summary["objectives"])
    noticed += [ENDED] * (run["ended"] != "completed")
    return Outcome(verdict, tuple(noticed), run.get("reason") or "")


def try_untouched(kind: str, base: Path, scratch: Path) -> Trial:
    """The twin that nothing is done to has to pass: else no verdict below means anything."""
    copy = Copy(base, scratch / UNTOUCHED)
    outcome = judge_anew(copy.folder)
    shutil.rmtree(copy.folder.path)
    return Trial(kind, UNTOUCHED, Verdict.PASS, "", outcome)


def try_sabotage(sabotage: Sabotage, kind: str, base: Path, scratch: Path) -> Trial:
    """Corrupt a copy of the run and judge it."""
    copy = Copy(base, scratch / sabotage.change.__name__)
    try:
        sabotage.change(copy)
        outcome: Outcome | None = judge_anew(copy.folder)
    except Unfit:
        outcome = None
    finally:
        shutil.rmtree(copy.folder.path)
    return Trial(kind, sabotage.name, sabotage.verdict, sabotage.noticed_by, outcome)
