"""A million finished tasks in the table: what each further task then costs, and how fast it goes.

Two stacks stand side by side, one with the full table and one whose table is emptied before each
drain. They take turns, so that each pair of drains meets the same machine.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from task_lab.bench.bench import Bench
from task_lab.bench.buffers import pages_touched
from task_lab.bench.rows import Group
from task_lab.bench.sitting import Sitting
from task_lab.statements import statements_of

_STATEMENTS = statements_of(Path(__file__).with_name("size.sql"))
_FINISHED_TASKS = 1_000_000
_FULL, _EMPTY = "full", "empty"


def measure_size(bench: Bench) -> None:
    """Pairs of drains beside the full table and the empty one, then the pages a task touches."""
    with ExitStack() as exits:
        stacks = {name: exits.enter_context(bench.sitting(name)) for name in (_FULL, _EMPTY)}
        _fill(stacks[_FULL], bench.plan.tasks(_FINISHED_TASKS))
        tasks = bench.plan.drain_tasks
        for cycle in range(bench.plan.pairs + 1):
            for name in (_FULL, _EMPTY) if cycle % 2 else (_EMPTY, _FULL):
                _prepare(name, stacks[name])
                per_s = stacks[name].drain(tasks).drained.per_s
                if cycle == 0:  # the first drain after a checkpoint writes every page whole
                    continue
                bench.measured.add(Group.SIZE, f"million_rows_{name}_per_s", per_s, cycle=cycle)
                bench.measured.checked(Group.SIZE, f"drain, {name} table", tasks)
        for name, sitting in stacks.items():
            # Every statement of this drain is explained, which takes its time: it is not timed.
            pages = _pages_per_task(name, sitting, tasks)
            bench.measured.add(Group.SIZE, f"buffers_per_task_{name}", pages)


def _fill(sitting: Sitting, tasks: int) -> None:
    """Finished tasks as the platform leaves them; those of the warm-up are the model."""
    ledger = sitting.ledger
    sitting.loop.run(ledger.connection.execute(_STATEMENTS["fill_finished"], tasks))
    ledger.execute(*(_STATEMENTS[name] for name in ("tidy_tasks", "tidy_keys", "write_out")))


def _prepare(name: str, sitting: Sitting) -> None:
    if name == _EMPTY:
        empty = ("empty", "tidy_tasks", "tidy_keys", "write_out")
        sitting.ledger.execute(*(_STATEMENTS[step] for step in empty))


def _pages_per_task(name: str, sitting: Sitting, tasks: int) -> float:
    """Database pages that a fresh worker's statements touch for each task of a drain."""
    ledger, log = sitting.ledger, sitting.runtime.logs_dir() / "postgres.log"
    sitting.runtime.scale(0)
    ledger.execute(_STATEMENTS["explain_new_sessions"])
    sitting.scale(1)
    _prepare(name, sitting)
    begin = log.stat().st_size
    sitting.drain(tasks)
    rows = sitting.loop.run(ledger.connection.fetch(_STATEMENTS["worker_sessions"]))
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return pages_touched(lines, {row["pid"] for row in rows}) / tasks
