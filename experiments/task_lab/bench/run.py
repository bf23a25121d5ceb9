"""A bench, step by step: a run folder, each group on a stack of its own, then what it all says."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

from task_lab.bench.backlog import measure_backlog
from task_lab.bench.bench import Bench
from task_lab.bench.conclude import conclude
from task_lab.bench.drains import measure_drains, measure_sleep
from task_lab.bench.latency import measure_latency
from task_lab.bench.measurements import Line, Measurements
from task_lab.bench.plan import Plan, described
from task_lab.bench.profiles import measure_flames
from task_lab.bench.rows import Group
from task_lab.bench.sitting import PROGRAMS
from task_lab.bench.size import measure_size
from task_lab.bench.submits import measure_bulk, measure_end_to_end, measure_single_posts
from task_lab.check.verdict import Verdict
from task_lab.collect.host import git_state, library_versions, machine
from task_lab.report.index import rebuild_index
from task_lab.runtime.programs import find_programs
from task_lab.store import PROJECT, RunFolder, create_run, utc_text

EXPERIMENT = "bench"
# Who else works on this machine takes from every figure: that should be on record.
_LOOK_S = 1.0
STEPS: tuple[tuple[tuple[Group, ...], Callable[[Bench], None]], ...] = (
    # The peer is compared with drains of the same cycles.
    ((Group.DRAIN, Group.PEER), measure_drains),
    ((Group.SLEEP,), measure_sleep),
    ((Group.HTTP,), measure_single_posts),
    ((Group.BULK,), measure_bulk),
    ((Group.END_TO_END,), measure_end_to_end),
    ((Group.LATENCY,), measure_latency),
    ((Group.SIZE,), measure_size),
    ((Group.BACKLOG,), measure_backlog),
    ((Group.FLAMES,), measure_flames),
)


def new_bench(plan: Plan, results: Path) -> RunFolder:
    """A run folder for the plan, with everything known before the start; nothing is started.

    Raises MissingPrograms.
    """
    programs = find_programs(PROGRAMS)
    return create_run(
        EXPERIMENT,
        {
            "params": {"resolved": described(plan)},
            "runtime": "native",
            "git": git_state(PROJECT),
            "machine": machine(),
            "busy_before": psutil.cpu_percent(_LOOK_S) / 100,
            "versions": {
                **library_versions(),
                "pgqueuer": _installed("pgqueuer"),
                "postgres": _said(programs["postgres"], "--version"),
                "rabbitmq": _said(programs["rabbitmqctl"], "version"),
            },
        },
        results=results,
    )


def run_bench(
    folder: RunFolder, plan: Plan, listener: Callable[[Line | Group], None] | None = None
) -> Verdict:
    """Measure every group of the plan, and return the verdict that now stands in run.json.

    A group that comes to no end is noted, and the next one begins.
    listener: is told each group when it begins, and each line that was measured.
    """
    measured = Measurements(folder.path, listener)
    started_at = time.time()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(plan, folder.path, Path(scratch), measured)
            for groups, measure in STEPS:
                if asked := [group for group in groups if plan.has(group)]:
                    _measure(bench, folder, asked, measure, listener)
        folder.update_run(
            ended="completed",
            ended_at=utc_text(),
            windows={"start": started_at, "end": time.time()},
        )
        return conclude(folder)
    except KeyboardInterrupt:
        folder.update_run(verdict=Verdict.INTERRUPTED, ended="interrupted", ended_at=utc_text())
        raise
    finally:
        rebuild_index(folder.path.parents[1])


def _measure(
    bench: Bench,
    folder: RunFolder,
    groups: list[Group],
    measure: Callable[[Bench], None],
    listener: Callable[[Line | Group], None] | None,
) -> None:
    for group in groups:
        folder.append_event("group_started", group=group)
        if listener:
            listener(group)
    try:
        measure(bench)
    except Exception as error:  # the other groups still have something to say
        for group in groups:
            bench.measured.failed(group, error)
    for group in groups:
        folder.append_event("group_ended", group=group)


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _said(program: Path, question: str) -> str:
    """What a server's program says of its version; empty where it says nothing."""
    done = subprocess.run(
        [str(program), question], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip()
