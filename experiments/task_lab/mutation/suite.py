"""Every sabotage of every run, and how many were caught."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from task_lab.check.verdict import Verdict
from task_lab.errors import LabError
from task_lab.mutation.bases import BASES, make_base
from task_lab.mutation.live import LIVE, try_live
from task_lab.mutation.sabotages import sabotages_of
from task_lab.mutation.trial import UNTOUCHED, Outcome, Trial, try_sabotage, try_untouched
from task_lab.store import RunFolder


def try_all(given: Sequence[RunFolder], results: Path, *, live: bool = True) -> Iterator[Trial]:
    """Each run's untouched twin and its sabotages; then those of the generator at work.

    given: runs to sabotage, which stay as they are; without any, one of each kind is made below
    `results`.
    """
    for folder in given:
        yield from try_run(folder.run()["params"]["resolved"]["kind"], folder.path)
    for kind in () if given else BASES:
        try:
            base = make_base(kind, results)
        except LabError as error:
            yield no_base(kind, error)
        else:
            yield from try_run(kind, base.path)
    if live:
        for sabotage in LIVE:
            yield try_live(sabotage, results)


def try_run(kind: str, base: Path) -> Iterator[Trial]:
    """The untouched twin of a run, then every sabotage of it."""
    with tempfile.TemporaryDirectory() as scratch:
        yield try_untouched(kind, base, Path(scratch))
        for sabotage in sabotages_of(kind):
            yield try_sabotage(sabotage, kind, base, Path(scratch))


def no_base(kind: str, error: LabError) -> Trial:
    """What is said where the run that was to be sabotaged did not come about."""
    outcome = Outcome(Verdict.UNKNOWN, (type(error).__name__,), str(error))
    return Trial(kind, UNTOUCHED, Verdict.PASS, "", outcome)


def line(trial: Trial) -> str:
    """A trial as a line of the table."""
    if trial.outcome is None:
        return f"  --      {trial.kind:<16} {trial.name}: nothing in this run to change"
    word = "ok" if trial.is_caught else ("BROKEN" if trial.name == UNTOUCHED else "SURVIVED")
    found = trial.outcome
    by = ", ".join(found.noticed_by) or "nobody"
    told = f"  {word:<9}{trial.kind:<16} {trial.name:<44} {found.verdict:<11} {by}"
    if trial.is_caught:
        return told
    return f"{told}\n            expected {trial.expected} by {trial.expected_by}; {found.reason}"


def killed(trials: Sequence[Trial]) -> Mapping[str, int]:
    """`caught` and `tried`, without the untouched twins and what had nothing to change."""
    tried = [one for one in trials if one.name != UNTOUCHED and one.outcome is not None]
    return {"caught": sum(one.is_caught for one in tried), "tried": len(tried)}


def is_proven(trials: Sequence[Trial]) -> bool:
    """Whether every sabotage was caught, and every untouched twin passed."""
    tried = [one for one in trials if one.outcome is not None]
    return bool(tried) and all(one.is_caught for one in tried)
