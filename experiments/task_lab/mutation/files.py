"""Sabotages of the files themselves (cut, missing, of another version), and of the objectives."""

from __future__ import annotations

from task_lab.mutation.copies import WITNESS, Copy, Unfit, last_of
from task_lab.mutation.sabotage import (
    FAIL,
    INVALID,
    OBJECTIVES,
    OUTPUTS,
    RETRIES,
    SATURATION,
    SCALING,
    THROUGHPUT,
    UNKNOWN,
    WITNESSED,
    Sabotage,
)
from task_lab.schema import SCHEMA


def cut_run_json(copy: Copy) -> None:
    """run.json ends in the middle."""
    _cut(copy, "run.json")


def come_from_the_future(copy: Copy) -> None:
    """run.json was written by a later version of the lab."""
    copy.edit_json("run.json", lambda run: {**run, "schema": SCHEMA + 1})


def lose_the_ledger(copy: Copy) -> None:
    """tasks.parquet is not there."""
    copy.path("tasks.parquet").unlink()


def cut_the_ledger(copy: Copy) -> None:
    """tasks.parquet ends in the middle."""
    _cut(copy, "tasks.parquet")


def lose_the_history(copy: Copy) -> None:
    """history.jsonl is not there."""
    copy.path("history.jsonl").unlink()


def lose_the_dead_letter_queue(copy: Copy) -> None:
    """Nobody looked what `tasks.dlq` held."""
    copy.path("dlq.json").unlink()


def lose_the_generators_report(copy: Copy) -> None:
    """load.json is not there."""
    copy.path("load.json").unlink()


def cut_the_generators_report(copy: Copy) -> None:
    """load.json ends in the middle."""
    _cut(copy, "load.json")


def cut_an_answer(copy: Copy) -> None:
    """The answer of a PromQL query ends in the middle."""
    _cut(copy, "metrics/processed_last.json")


def cut_the_witness(copy: Copy) -> None:
    """witness.json ends in the middle."""
    copy.witness()
    _cut(copy, WITNESS)


def lose_the_failed_attempts(copy: Copy) -> None:
    """attempt_failures.parquet is not there, where attempts had to fail."""
    copy.path("attempt_failures.parquet").unlink()


def lose_a_figure(copy: Copy) -> None:
    """A figure of the report was not drawn."""
    figures = sorted(copy.path("figures").glob("*"))
    if not figures:
        raise Unfit
    figures[0].unlink()


def lose_the_page(copy: Copy) -> None:
    """The report's page was not written."""
    copy.path("report.html").unlink()


def be_slow(copy: Copy) -> None:
    """Every task of the lowest step of the ladder was finished a minute late."""
    events = copy.lines("events.jsonl")
    steps = [e for e in events if e["event"] == "phase_started" and e["kind"] == "step"]
    if not steps:
        raise Unfit
    lowest = min(steps, key=lambda step: float(step["offered_per_s"]))["phase"]
    tasks = copy.tasks()
    tasks.loc[tasks["phase"] == lowest, "finished_at"] += 60
    copy.write_tasks(tasks)


def miss_an_objective(copy: Copy) -> None:
    """The run was to finish more tasks a second than it did."""
    _demand(copy, "end_to_end_per_s", 1e9)


def demand_what_was_not_measured(copy: Copy) -> None:
    """An objective limits a figure that this run has not."""
    last_of(copy.lines("events.jsonl"), "phase_ended")
    _demand(copy, "achieved_over_offered", 0.99)


def _demand(copy: Copy, name: str, least: float) -> None:
    run = copy.run()
    run["params"]["resolved"]["objectives"] = {name: {"min": least, "max": None}}
    copy.folder.write_json("run.json", run)


def _cut(copy: Copy, name: str) -> None:
    content = copy.path(name).read_bytes()
    copy.path(name).write_bytes(content[: len(content) // 2])


_SWEEPS = (THROUGHPUT, SCALING)

FILES = (
    Sabotage(cut_run_json, INVALID, "Unreadable"),
    Sabotage(come_from_the_future, UNKNOWN, "FromTheFuture"),
    Sabotage(lose_the_ledger, INVALID, "RawFilesGone"),
    Sabotage(cut_the_ledger, INVALID, "Unreadable"),
    Sabotage(lose_the_history, INVALID, "RawFilesGone"),
    Sabotage(lose_the_dead_letter_queue, INVALID, "RawFilesGone"),
    Sabotage(lose_the_generators_report, INVALID, "RawFilesGone"),
    Sabotage(cut_the_generators_report, INVALID, "Unreadable"),
    Sabotage(cut_an_answer, INVALID, "Unreadable"),
    Sabotage(lose_the_failed_attempts, UNKNOWN, "Unknown", (RETRIES,)),
    Sabotage(cut_the_witness, INVALID, "Unreadable", WITNESSED),
    Sabotage(lose_a_figure, INVALID, OUTPUTS),
    Sabotage(lose_the_page, INVALID, OUTPUTS),
    Sabotage(be_slow, FAIL, OBJECTIVES, (SATURATION,)),
    Sabotage(miss_an_objective, FAIL, OBJECTIVES),
    Sabotage(demand_what_was_not_measured, UNKNOWN, OBJECTIVES, _SWEEPS),
)
