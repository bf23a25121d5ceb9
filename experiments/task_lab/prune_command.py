"""`task-lab prune`: old runs are deleted, after what goes and what stays was said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from task_lab.arguments import AsJson, Results
from task_lab.errors import UsageError
from task_lab.output import say, say_json
from task_lab.runs import StoredRun, find_runs
from task_lab.store import RESULTS


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("prune")(prune_runs)


def prune_runs(  # noqa: PLR0917 - options, given by name
    keep: Annotated[
        int | None, typer.Option(min=0, help="Keep the newest so many of each experiment.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Only runs older than that.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Only runs of this one.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would go, delete nothing.")] = False,
    yes: Annotated[bool, typer.Option(help="Do not ask.")] = False,
    as_json: AsJson = False,
    results: Results = RESULTS,
) -> int:
    """Delete old runs, after asking. Runs that git tracks and the newest PASS of each stay."""
    from task_lab.prune import delete_runs, may_be_running, plan_prune, tracked_runs  # noqa: PLC0415

    if keep is None and older_than is None:
        raise UsageError("which runs may go? --keep N, --older-than DAYS, or both")
    now, runs = datetime.now(UTC), find_runs(results, experiment)
    plan = plan_prune(
        runs,
        keep=keep,
        older_than=None if older_than is None else timedelta(days=older_than),
        tracked=tracked_runs(results),
        now=now,
        running={run.path for run in runs if may_be_running(run, now)},
    )
    if not as_json:
        _say_plan(plan.delete, [(one.run, one.reason) for one in plan.kept])
    gone: list[StoredRun] = []
    if plan.delete and not dry_run:
        if not yes:
            _confirm(len(plan.delete))
        gone = delete_runs(results, plan.delete)
        from task_lab.report.index import rebuild_index  # noqa: PLC0415

        rebuild_index(results)
    if as_json:
        say_json(
            {
                "delete": [str(run.path) for run in plan.delete],
                "kept": {str(one.run.path): one.reason for one in plan.kept},
                "deleted": len(gone),
            }
        )
    else:
        said = f"{len(gone)} deleted" if gone else "nothing deleted"
        say(f"{said} (--dry-run)" if dry_run else said)
    return 0


def _say_plan(delete: Sequence[StoredRun], kept: Sequence[tuple[StoredRun, str]]) -> None:
    from task_lab.prune import size_bytes  # noqa: PLC0415

    for run in delete:
        size = size_bytes(run.path) / 1e6
        say(f"delete  {run.experiment}/{run.id}  {run.verdict}  {size:,.1f} MB")
    for run, reason in kept:
        say(f"keep    {run.experiment}/{run.id}  {run.verdict}  ({reason})")


def _confirm(number: int) -> None:
    """Ask on a terminal. Raises UsageError where nobody can be asked, Abort for a no."""
    if not sys.stdin.isatty():
        raise UsageError("nothing deleted: nobody can be asked here; --yes deletes them")
    runs = "run" if number == 1 else "runs"
    typer.confirm(f"delete {number} {runs} for good?", abort=True, err=True)
