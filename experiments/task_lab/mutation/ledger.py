"""Sabotages of what the database says of tasks: rows, states, results, attempts, times."""

from __future__ import annotations

import json

import pandas as pd

from task_lab.mutation.copies import Copy
from task_lab.mutation.sabotage import FAIL, UNDISTURBED, Sabotage

_STRANGER = "00000000-0000-7000-8000-00000000dead"


def lose_an_accepted_task(copy: Copy) -> None:
    """A task was answered with 201, and its row is gone."""
    copy.drop_tasks([copy.victim()["id"]])


def find_a_row_nobody_sent(copy: Copy) -> None:
    """The ledger has a task that no submission stands for."""
    tasks = copy.tasks()
    row = tasks[tasks["id"] == copy.victim()["id"]].assign(id=_STRANGER)
    copy.write_tasks(pd.concat([tasks, row], ignore_index=True))


def write_one_task_twice(copy: Copy) -> None:
    """One task has two rows."""
    tasks = copy.tasks()
    row = tasks[tasks["id"] == copy.victim()["id"]]
    copy.write_tasks(pd.concat([tasks, row], ignore_index=True))


def claim_one_twice(copy: Copy) -> None:
    """Two workers had the same task: its fence rose once more, for no reason on record."""
    one = copy.victim()
    copy.set_task(one["id"], fence=one["fence"] + 1)


def charge_one_for_a_run_without_record(copy: Copy) -> None:
    """A task ran twice: another claim and another attempt, and no failure that called for them."""
    one = copy.victim()
    copy.set_task(one["id"], fence=one["fence"] + 1, attempts=one["attempts"] + 1)


def try_one_too_often(copy: Copy) -> None:
    """A task was tried more often than its retries allow."""
    one = copy.victim()
    many = one["max_retries"] + 2
    copy.set_task(one["id"], attempts=many, fence=many)


def finish_one_without_an_attempt(copy: Copy) -> None:
    """A task succeeded, and nobody was charged for having run it."""
    copy.set_task(copy.victim()["id"], attempts=0)


def finish_one_that_never_started(copy: Copy) -> None:
    """A task succeeded without ever having begun."""
    copy.set_task(copy.victim()["id"], started_at=float("nan"))


def leave_one_unfinished(copy: Copy) -> None:
    """A worker still has a task when all is said to be over."""
    copy.set_task(copy.victim()["id"], state="PROCESSING", result=None, finished_at=float("nan"))


def leave_one_in_the_queue(copy: Copy) -> None:
    """A task waits in the queue, and nobody will ever take it up."""
    copy.set_task(copy.victim()["id"], state="QUEUED", result=None, finished_at=float("nan"))


def give_a_wrong_result(copy: Copy) -> None:
    """A task succeeded with the result of another one."""
    copy.set_task(copy.victim(_has_result)["id"], result=json.dumps({"sum": -1}))


def lose_a_result(copy: Copy) -> None:
    """A task succeeded, and its result was not kept."""
    copy.set_task(copy.victim(_has_result)["id"], result=None)


def cancel_one(copy: Copy) -> None:
    """A task that nobody cancelled is CANCELLED."""
    copy.set_task(copy.victim()["id"], state="CANCELLED", result=None)


def let_one_fail_in_silence(copy: Copy) -> None:
    """A task failed, and neither the list nor the queue of dead letters has it."""
    copy.set_task(copy.victim()["id"], state="FAILED", result=None)


def finish_one_before_it_started(copy: Copy) -> None:
    """A task ended before it began."""
    one = copy.victim()
    copy.set_task(one["id"], finished_at=one["started_at"] - 0.001)


def start_one_before_it_was_there(copy: Copy) -> None:
    """A task began before it was committed."""
    one = copy.victim()
    copy.set_task(one["id"], created_at=one["started_at"] + 0.0005)


def commit_one_before_it_was_sent(copy: Copy) -> None:
    """A task was there long before its client sent it."""
    one = copy.victim()
    copy.set_task(one["id"], created_at=one["created_at"] - 10)


def _has_result(part: object) -> bool:
    return getattr(part, "expect", None) is not None


LEDGER = (
    Sabotage(lose_an_accepted_task, FAIL, "none_lost"),
    Sabotage(find_a_row_nobody_sent, FAIL, "none_unexpected"),
    Sabotage(write_one_task_twice, FAIL, "accepted_once"),
    Sabotage(claim_one_twice, FAIL, "claimed_once"),
    Sabotage(charge_one_for_a_run_without_record, FAIL, "claimed_once"),
    Sabotage(try_one_too_often, FAIL, "attempts_within_limit"),
    Sabotage(finish_one_without_an_attempt, FAIL, "attempts_within_limit"),
    Sabotage(finish_one_that_never_started, FAIL, "attempts_within_limit"),
    Sabotage(leave_one_unfinished, FAIL, "all_terminal"),
    Sabotage(leave_one_in_the_queue, FAIL, "all_terminal"),
    Sabotage(give_a_wrong_result, FAIL, "results_right", UNDISTURBED),
    Sabotage(lose_a_result, FAIL, "results_right", UNDISTURBED),
    Sabotage(cancel_one, FAIL, "results_right"),
    Sabotage(let_one_fail_in_silence, FAIL, "dlq_is_failed"),
    Sabotage(finish_one_before_it_started, FAIL, "times_in_order"),
    Sabotage(start_one_before_it_was_there, FAIL, "times_in_order"),
    Sabotage(commit_one_before_it_was_sent, FAIL, "times_in_order"),
)
