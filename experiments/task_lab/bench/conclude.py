"""From measurements on disk to a verdict, a summary, figures and a page. Repeatable."""

from __future__ import annotations

from task_lab.bench.figures import draw
from task_lab.bench.measurements import read_measurements
from task_lab.bench.page import render
from task_lab.bench.rows import Group
from task_lab.bench.summary import summary_of, summary_text, verdict_of
from task_lab.check.verdict import Verdict
from task_lab.store import RunFolder, write_atomically


def conclude(folder: RunFolder) -> Verdict:
    """Write everything that a bench says from its measurements; returns its verdict.

    One that was interrupted stays so, unless it had proven something wrong before.
    """
    lines = read_measurements(folder.path)
    run = folder.run()
    groups = [Group(name) for name in run["params"]["resolved"]["groups"]]
    summary = summary_of(lines, groups)
    verdict, reason = verdict_of(summary)
    if run["ended"] == "interrupted" and not any(p["wrong"] for p in summary["problems"]):
        verdict, reason = Verdict.INTERRUPTED, ""
    elif run["ended"] == "crashed" and verdict is not Verdict.FAIL:
        verdict, reason = Verdict.UNKNOWN, "the bench ended early"
    folder.write_json("summary.json", summary)
    figures = draw(folder.path, lines, summary)
    folder.update_run(verdict=verdict, reason=reason)
    run = folder.run()
    write_atomically(folder / "summary.md", summary_text(run, summary))
    render(folder.path, run, summary, figures)
    return verdict
