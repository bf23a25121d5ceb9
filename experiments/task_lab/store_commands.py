"""The commands of the run store: list, show, open, compare, reanalyse, reproduce, export.

Results go to standard output, what was done on the way to error.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from task_lab.arguments import AsJson, Results, Run
from task_lab.check.verdict import EXIT_CODES, Verdict
from task_lab.errors import LabError, UsageError
from task_lab.output import Table, complain, say, say_json, say_run, show, show_markdown
from task_lab.runs import NOTHING, StoredRun, find_runs, headline, resolve_run
from task_lab.store import RESULTS, RunFolder


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("list")(list_runs)
    app.command("show")(show_run)
    app.command("open")(open_run)
    app.command("compare")(compare_runs)
    app.command("reanalyse")(reanalyse_run)
    app.command("report")(report)
    app.command("reproduce")(reproduce_run)
    app.command("export")(export_run)


def list_runs(
    experiment: Annotated[str | None, typer.Argument(help="Only runs of this one.")] = None,
    as_json: AsJson = False,
    results: Results = RESULTS,
) -> int:
    """List the runs, newest first; those that cannot be read are in the list as well."""
    runs = find_runs(results, experiment)
    if as_json:
        say_json({"runs": [_listed(run) for run in runs]})
    elif not runs:
        say(f"no runs in {results}")
    else:
        head = ["run", "experiment", "verdict", "started", "commit", "machine", "what it found"]
        show([Table(head, [_row(run) for run in runs], text_columns=7)])
    return 0


def show_run(run: Run, as_json: AsJson = False, results: Results = RESULTS) -> int:
    """Show a run's summary and say where its report is."""
    folder = resolve_run(run, results)
    document, report_path = folder.run(), _report_of(folder)
    if as_json:
        summary = folder.read_json("summary.json") if (folder / "summary.json").exists() else None
        say_json(
            {"run": str(folder.path), "report": report_path, "of": document, "summary": summary}
        )
        return 0
    if (folder / "summary.md").exists():
        show_markdown((folder / "summary.md").read_text("utf-8"))
    else:
        reason = f": {document['reason']}" if document.get("reason") else ""
        say(f"{document.get('experiment')}: {document.get('verdict')}{reason}")
        say("there is no summary of it")
    say("")
    say(report_path or "there is no report of it")
    say(str(folder.path))
    return 0


def open_run(run: Run, results: Results = RESULTS) -> int:
    """Open a run's report in a browser, where there is one; print its path."""
    folder = resolve_run(run, results)
    path = _report_of(folder)
    if path is None:
        raise UsageError(f"{folder.path} has no report.html; `task-lab reanalyse` makes it anew")
    if _has_screen():
        webbrowser.open(Path(path).as_uri())
    say(path)
    return 0


def compare_runs(  # noqa: PLR0917 - options, given by name
    before: Annotated[str, typer.Argument(metavar="A", help="A run, or several: A1,A2,A3,A4.")],
    after: Annotated[str, typer.Argument(metavar="B", help="What is held against it.")],
    allow_different: Annotated[
        bool, typer.Option(help="Compare runs of different parameters.")
    ] = False,
    allow_other_machine: Annotated[
        bool, typer.Option(help="Show runs of different machines; nothing is concluded then.")
    ] = False,
    any_verdict: Annotated[bool, typer.Option(help="Compare runs that are no PASS.")] = False,
    least_percent: Annotated[
        float, typer.Option(min=0, max=100, help="A smaller difference is none.")
    ] = 5.0,
    as_json: AsJson = False,
    results: Results = RESULTS,
) -> int:
    """Say what changed from run A to run B: 0 no regression shown, 3 a regression, 2 unknown."""
    from task_lab.comparable import Allowed  # noqa: PLC0415
    from task_lab.compare import compare  # noqa: PLC0415
    from task_lab.stats_compare import Least  # noqa: PLC0415

    found = compare(
        _side(before, results),
        _side(after, results),
        Allowed(allow_different, allow_other_machine, any_verdict),
        Least(share=least_percent / 100),
    )
    _say_comparison(found, as_json=as_json)
    return int(found["exit_code"])


def reanalyse_run(run: Run, as_json: AsJson = False, results: Results = RESULTS) -> int:
    """Make a run's checks, summary, figures and report anew from its raw data."""
    from task_lab.reanalyse import reanalyse  # noqa: PLC0415

    folder = resolve_run(run, results)
    found = reanalyse(folder)
    if told := found.told():
        complain(told)
    if as_json:
        changed = [*found.changed, *found.new]
        say_json({"run": str(folder.path), "verdict": found.verdict, "changed": changed})
    else:
        say_run(folder, as_json=False)
    return EXIT_CODES[found.verdict]


def report(run: Run, as_json: AsJson = False, results: Results = RESULTS) -> int:
    """The same as `reanalyse`."""
    return reanalyse_run(run, as_json=as_json, results=results)


def reproduce_run(
    run: Run,
    allow_different: Annotated[
        bool, typer.Option(help="Also if the experiment's definition has changed since.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
    as_json: AsJson = False,
    results: Results = RESULTS,
) -> int:
    """Run an experiment again as a run had it, then compare the two.

    The exit code is that of the new run; of a PASS, that of the comparison.
    """
    from task_lab.comparable import Allowed  # noqa: PLC0415
    from task_lab.compare import compare  # noqa: PLC0415
    from task_lab.reproduce import again, changes_since, new_run_of, run_again  # noqa: PLC0415

    original = resolve_run(run, results)
    then = original.run()
    plan = again(original, different=allow_different)
    folder = new_run_of(plan, results.resolve())
    try:
        verdict = run_again(plan, folder, quiet=quiet)
    except BaseException:
        say_run(folder, as_json=as_json)
        raise
    for change in changes_since(then, folder.run()):
        complain(f"not as it was: {change}")
    try:
        found = compare([original], [folder], Allowed(True, True, True))
    except LabError as error:
        complain(f"the two cannot be compared: {error}")
        found = None
    if as_json:
        say_json({"run": str(folder.path), "verdict": verdict, "comparison": found})
    else:
        if found:
            _say_comparison(found, as_json=False)
        say_run(folder, as_json=False)
    of_comparison = int(found["exit_code"]) if found else EXIT_CODES[Verdict.UNKNOWN]
    return EXIT_CODES[verdict] or of_comparison


def export_run(
    run: Run,
    to: Annotated[
        Path | None, typer.Option(help="A .tar.gz, .tgz or .zip; <id>.tar.gz here if not given.")
    ] = None,
    small: Annotated[
        bool, typer.Option(help="Without raw history, as runs are committed.")
    ] = False,
    as_json: AsJson = False,
    results: Results = RESULTS,
) -> int:
    """Pack a run into one file; the last line is its path. The same run gives the same bytes."""
    from task_lab.export import export_run as export  # noqa: PLC0415

    folder = resolve_run(run, results)
    path = export(folder, to, small=small)
    if as_json:
        size = path.stat().st_size
        say_json({"run": str(folder.path), "file": str(path), "bytes": size, "small": small})
    else:
        say(str(path))
    return 0


def _side(names: str, results: Path) -> list[RunFolder]:
    """The runs of a comma-separated list. A path with a comma in it is one run."""
    if Path(names).exists():
        return [resolve_run(names, results)]
    return [resolve_run(name.strip(), results) for name in names.split(",") if name.strip()]


def _say_comparison(found: dict[str, Any], *, as_json: bool) -> None:
    from task_lab.compare_text import comparison_blocks  # noqa: PLC0415

    if as_json:
        say_json(found)
    else:
        show(comparison_blocks(found))


def _row(run: StoredRun) -> list[str]:
    sha = f"{run.sha[:7]}{' *' if run.is_dirty else ''}" if run.sha else NOTHING
    return [
        run.id,
        run.experiment,
        run.verdict,
        run.started_at[:16].replace("T", " ") or NOTHING,
        sha,
        run.fingerprint or NOTHING,
        run.problem or headline(run.path),
    ]


def _listed(run: StoredRun) -> dict[str, Any]:
    return {
        "run": str(run.path.resolve()),
        "experiment": run.experiment,
        "id": run.id,
        "verdict": run.verdict if run.run is not None else None,
        "started_at": run.started_at or None,
        "sha": run.sha,
        "dirty": run.is_dirty,
        "fingerprint": run.fingerprint,
        "headline": headline(run.path),
        "problem": run.problem or None,
    }


def _report_of(folder: RunFolder) -> str | None:
    path = folder / "report.html"
    return str(path) if path.is_file() else None


def _has_screen() -> bool:
    """Whether a browser can be shown: never one inside the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
