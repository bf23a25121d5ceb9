"""From evidence on disk to a verdict on disk. Repeatable: nothing here needs the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from task_lab.check.evidence import read_evidence
from task_lab.check.objectives import told_limit
from task_lab.check.selection import run_checks
from task_lab.check.submissions import class_submissions, three_counts
from task_lab.check.verdict import Verdict, combine
from task_lab.store import RunFolder, Unreadable

_NEEDED = (
    "history.jsonl",
    "events.jsonl",
    "load.json",
    "tasks.parquet",
    "checks.json",
    "summary.json",
)


def check_run(folder: RunFolder) -> dict[str, Any]:
    """Run every check and write checks.json; returns it.

    Its `verdict` combines the checks; the run's own is written by `judge_run`, once the report's
    parts are there as well. Raises EvidenceMissing where the raw files are not all there.
    """
    evidence = read_evidence(folder)
    checks = run_checks(evidence)
    submissions = asdict(class_submissions(evidence))
    del submissions["accepted_ids"]
    document = {
        "verdict": combine(check.verdict for check in checks),
        "checks": [asdict(check) for check in checks],
        "counts": three_counts(evidence),
        "submissions": submissions,
    }
    folder.write_json("checks.json", document)
    return document


def judge_run(folder: RunFolder) -> Verdict:
    """Write the run's verdict into run.json and return it: what the checks say of a whole run.

    A proven failure stands. Else a run that was interrupted stays INTERRUPTED; one that lacks what
    a whole one leaves is INVALID, one that ended early UNKNOWN.
    """
    run = folder.run()
    try:
        checks, summary = (_document(folder, name) for name in ("checks.json", "summary.json"))
    except Unreadable as error:
        folder.update_run(verdict=Verdict.INVALID, reason=str(error))
        return Verdict.INVALID
    missing = [name for name in _NEEDED if not (folder / name).exists()]
    if checks is not None and checks["verdict"] == Verdict.FAIL:
        verdict, reason = Verdict.FAIL, _reason(checks)
    elif run["ended"] == "interrupted":
        return Verdict.INTERRUPTED
    elif missing or checks is None:
        verdict, reason = Verdict.INVALID, f"missing: {', '.join(missing)}"
    elif run["ended"] != "completed":
        verdict, reason = Verdict.UNKNOWN, "the run ended early"
    else:
        objectives = (summary or {}).get("objectives", [])
        verdict = combine(Verdict(one["verdict"]) for one in [checks, *objectives])
        reason = "; ".join(filter(None, [_reason(checks), *_missed(objectives)]))
    folder.update_run(verdict=verdict, reason=reason)
    return verdict


def _document(folder: RunFolder, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = folder.read_json(name) if (folder / name).exists() else None
    return found


def _missed(objectives: Sequence[Mapping[str, Any]]) -> list[str]:
    """What every objective that was not met, or not measured, has to say."""
    return [
        f"objective {one['name']} at {one['where']}: {told_limit(one)}, observed {one['observed']}"
        for one in objectives
        if one["verdict"] != Verdict.PASS
    ]


def _reason(checks: Mapping[str, Any]) -> str:
    """What every check that did not pass has to say."""
    return "; ".join(
        f"{check['name']}: {check['detail']}"
        for check in checks["checks"]
        if check["verdict"] != Verdict.PASS
    )
