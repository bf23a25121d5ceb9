"""`task-lab mutation`: corrupt runs on purpose and see that the verdict notices."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from task_lab.check.verdict import EXIT_CODES, Verdict
from task_lab.store import RESULTS


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(mutation)


def mutation(
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="A run to sabotage a copy of, with its raw files; may be repeated."
            " Without any, a small one of each kind is made."
        ),
    ] = None,
    live: Annotated[
        bool | None,
        typer.Option(
            "--live/--no-live",
            help="Also disturb the generator of runs of their own; not with --run unless told.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
    results: Annotated[Path, typer.Option(help="Where the named runs are.")] = RESULTS,
) -> int:
    """Sabotage runs in every known way; 0 only when each sabotage turned the verdict as it must."""
    from task_lab.mutation.suite import is_proven, killed, line, try_all  # noqa: PLC0415
    from task_lab.output import say  # noqa: PLC0415
    from task_lab.runs import resolve_run  # noqa: PLC0415

    given = [resolve_run(name, results) for name in run or ()]
    trials = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        for trial in try_all(given, Path(scratch), live=not given if live is None else live):
            trials.append(trial)
            say(line(trial))
    rate, verdict = killed(trials), Verdict.PASS if is_proven(trials) else Verdict.FAIL
    share = rate["caught"] / rate["tried"] if rate["tried"] else 0.0
    say(f"kill rate: {rate['caught']} of {rate['tried']} sabotages ({share:.1%}) were caught")
    if as_json:
        say(json.dumps({**rate, "verdict": verdict}))
    return EXIT_CODES[verdict]
