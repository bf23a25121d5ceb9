"""`task-lab`: a thin layer over the library. Results go to standard output, the rest to error.

Exit codes: 0 pass, 1 failed, 2 unknown, 3 regression, 4 invalid, 64 usage, 70 internal,
130 interrupted.

What draws or measures is imported by the commands that do so: `status` and `down` stay quick.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from task_lab import prune_command, stack_commands, store_commands
from task_lab.check.verdict import EXIT_CODES, EXIT_INTERNAL, EXIT_USAGE, Verdict
from task_lab.doctor import examine, require_fit
from task_lab.errors import LabError
from task_lab.live import command as live_command
from task_lab.mutation import command as mutation_command
from task_lab.output import say as _say
from task_lab.output import say_run as _say_run
from task_lab.spec import load_definition, resolve
from task_lab.store import RESULTS

app = typer.Typer(
    help="Experiments on the task platform, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_EXIT_INTERRUPTED = EXIT_CODES[Verdict.INTERRUPTED]


@app.command()
def run(  # noqa: PLR0917 - options, given by name
    name: Annotated[
        str,
        typer.Argument(help="An experiment of experiments/definitions, or a .toml file of yours."),
    ],
    runtime: Annotated[str | None, typer.Option(help="native, compose or auto.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Tasks in a round.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of each point.")] = None,
    workers: Annotated[str | None, typer.Option(help="Worker counts, such as 1,3.")] = None,
    workloads: Annotated[str | None, typer.Option(help="Workloads, such as sum,sleep.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="Submissions waiting at a time.")] = None,
    drain_tasks: Annotated[int | None, typer.Option(help="Tasks of the drain.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of whatever is drawn by chance.")] = None,
    parameters: Annotated[
        Path | None, typer.Option(help="Parameters in a YAML, TOML or JSON file; options win.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="Any other parameter, as NAME=VALUE; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Events on standard error, one JSON object at the end.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
    results: Annotated[Path, typer.Option(help="Where run folders go.")] = RESULTS,
) -> int:
    """Run an experiment; the last line of the output is the run's folder."""
    from task_lab.execute import NOTEBOOKS, execute_run  # noqa: PLC0415
    from task_lab.live.watcher import watching  # noqa: PLC0415
    from task_lab.parameter_files import parameters_for, parameters_of  # noqa: PLC0415
    from task_lab.run import new_run  # noqa: PLC0415
    from task_lab.runtime.selection import resolve_runtime  # noqa: PLC0415

    options = {
        "runtime": runtime,
        "tasks": tasks,
        "rounds": rounds,
        "workers": workers,
        "workloads": workloads,
        "in_flight": in_flight,
        "drain_tasks": drain_tasks,
        "seed": seed,
    }
    asked = {option: value for option, value in options.items() if value is not None}
    notebook = NOTEBOOKS / load_definition(name).notebook
    asked |= parameters_of(notebook, parameter or [])
    if parameters is not None:
        asked = {**parameters_for(notebook, parameters), **asked}
    if resolve_runtime(resolve(load_definition(name), asked).runtime) == "native":
        require_fit()
    folder = new_run(name, asked, results=results.resolve())
    try:
        with watching(folder, quiet=quiet, as_json=as_json):
            return EXIT_CODES[execute_run(folder, asked)]
    finally:
        _say_run(folder, as_json=as_json)


@app.command()
def floor(
    tasks: Annotated[int, typer.Option(min=1, help="Tasks the bare loops work off.")] = 20_000,
    runtime: Annotated[str, typer.Option(help="native, compose or auto.")] = "native",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> int:
    """Measure the least that this machine needs for the same durable work."""
    from task_lab.floor import measure_floor  # noqa: PLC0415
    from task_lab.runtime.selection import runtime_for  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch, runtime_for(runtime, Path(scratch)) as running:
        result = asdict(measure_floor(running.up(), tasks=tasks))
    if as_json:
        _say(json.dumps(result))
    else:
        for name in ("submit_per_s", "drain_per_s", "end_to_end_per_s"):
            _say(f"{name} {result[name]:,.0f}")
    return 0


@app.command()
def bench(  # noqa: PLR0917 - options, given by name
    only: Annotated[
        str, typer.Option(help="Groups of rows to measure, such as drain,latency; all if none.")
    ] = "",
    cycles: Annotated[int, typer.Option(min=1, max=50, help="Repetitions of each comparison.")] = 5,
    scale: Annotated[
        float, typer.Option(min=0.01, max=1, help="Size of everything; for a first try.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
    results: Annotated[Path, typer.Option(help="Where run folders go.")] = RESULTS,
) -> int:
    """Hold the platform's speed against its targets; the last line of the output is the folder."""
    from task_lab.bench.plan import Plan, read_groups  # noqa: PLC0415
    from task_lab.bench.run import new_bench, run_bench  # noqa: PLC0415
    from task_lab.bench.summary import table_text  # noqa: PLC0415
    from task_lab.bench.telling import Teller  # noqa: PLC0415

    plan = Plan(read_groups(only), cycles=cycles, scale=scale)
    folder = new_bench(plan, results.resolve())
    try:
        with Teller(plan, quiet=quiet) as teller:
            verdict = run_bench(folder, plan, teller.tell)
        if not as_json and (table := table_text(folder.read_json("summary.json"))):
            _say(table)
        return EXIT_CODES[verdict]
    finally:
        _say_run(folder, as_json=as_json)


@app.command()
def chaos(
    schedules: Annotated[int, typer.Option(min=1, help="How many schedules of faults.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The first schedule; the next ones follow.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="The campaign's folder, results/chaos/seed-SEED if none.")
    ] = None,
    only: Annotated[int | None, typer.Option(help="Run this one schedule, once more.")] = None,
) -> int:
    """Strike a loaded platform with random faults, and judge every task. Run again to go on."""
    from task_lab.chaos.campaign import run_campaign  # noqa: PLC0415

    if only is not None:
        scratch = RESULTS / "chaos" / f"only-{only}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        verdict = run_campaign(folder or scratch, [only], _say)
    else:
        of_seed = folder or RESULTS / "chaos" / f"seed-{seed}"
        verdict = run_campaign(of_seed, range(seed, seed + schedules), _say)
    return EXIT_CODES[verdict]


@app.command()
def doctor() -> int:
    """Look whether this machine can run the lab."""
    findings = examine()
    for finding in findings:
        _say(f"{'ok     ' if finding.is_met else 'MISSING'}  {finding.need}: {finding.detail}")
    return 0 if all(finding.is_met for finding in findings) else EXIT_INTERNAL


stack_commands.register(app)
live_command.register(app)
store_commands.register(app)
prune_command.register(app)
mutation_command.register(app)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing escapes as an exception."""
    try:
        return int(app(args=list(arguments), standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except typer.TyperException as error:  # click's own code for these, 2, means "unknown" here
        return _complain(error.format_message(), EXIT_USAGE)
    except typer.Abort:
        return _EXIT_INTERRUPTED
    except LabError as error:
        return _complain(str(error), error.exit_code)
    except Exception:
        return _complain(traceback.format_exc(), EXIT_INTERNAL)


def main() -> None:
    """The console script. SIGTERM unwinds as Ctrl-C does: a stack is never left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run_command(sys.argv[1:]))


def _complain(text: str, exit_code: int) -> int:
    sys.stderr.write(f"task-lab: {text}\n")
    return exit_code


if __name__ == "__main__":
    main()
