"""`task-lab watch RUN`: the live view of any run, from another terminal, while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from task_lab.check.verdict import EXIT_CODES, Verdict
from task_lab.store import RESULTS


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(watch)


def watch(
    run: Annotated[
        str, typer.Argument(help="A run: its folder, its id or a part of it, or latest.")
    ] = "latest",
    as_json: Annotated[
        bool, typer.Option("--json", help="Events on standard error, one JSON object at the end.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Where run folders are.")] = RESULTS,
) -> int:
    """Watch a run from another terminal until it ends; the exit code is that of the run."""
    from task_lab.live.follow import follow  # noqa: PLC0415
    from task_lab.output import say_run  # noqa: PLC0415
    from task_lab.runs import resolve_run  # noqa: PLC0415

    folder = resolve_run(run, results)
    follow(folder, as_json=as_json)
    say_run(folder, as_json=as_json)
    return EXIT_CODES[Verdict(folder.run()["verdict"])]
