"""Sabotages of what the client wrote down: answers lost, doubled, cut, refused."""

from __future__ import annotations

from task_lab.mutation.copies import Copy, Record
from task_lab.mutation.sabotage import (
    FAIL,
    FAULTS,
    INVALID,
    SATURATION,
    SCALING,
    THROUGHPUT,
    UNKNOWN,
    Sabotage,
)

_HISTORY = "history.jsonl"
# Where a task counts once and leaves nothing but its row.
_ALIKE = (THROUGHPUT, SATURATION, SCALING, FAULTS)


def answer_two_submissions_with_one_task(copy: Copy) -> None:
    """Two submissions were answered with the same task."""
    one = copy.victim()["id"]
    history = copy.lines(_HISTORY)
    at = _line_of(history, one)
    history[at]["task_id"] = history[at - 1]["task_id"]
    copy.write_lines(_HISTORY, history)
    copy.drop_tasks([one])
    copy.count_more(-1)


def answer_with_a_task_that_never_was(copy: Copy) -> None:
    """A submission was answered with a task that the ledger does not know."""
    _set(copy, task_id="00000000-0000-7000-8000-00000000beef")


def refuse_a_valid_submission(copy: Copy) -> None:
    """A submission in which nothing is wrong was refused."""
    one = _set(copy, outcome="rejected", status=422, task_id=None)
    copy.drop_tasks([one])
    copy.count_more(-1)


def forget_a_submission(copy: Copy) -> None:
    """One line of the history was never written; its task is there."""
    history = copy.lines(_HISTORY)
    del history[_line_of(history, copy.victim()["id"])]
    copy.write_lines(_HISTORY, history)


def cut_the_last_line(copy: Copy) -> None:
    """The client died while it wrote: its last line has no end, and does not count."""
    path = copy.path(_HISTORY)
    path.write_bytes(path.read_bytes()[:-20])


def garble_a_line(copy: Copy) -> None:
    """A line in the middle of the history cannot be read."""
    lines = copy.path(_HISTORY).read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b'{"phase": "sum-w1\n'
    copy.path(_HISTORY).write_bytes(b"".join(lines))


def stop_sending_too_soon(copy: Copy) -> None:
    """The last ten tasks of a phase were never sent; the rest went well."""
    phase = copy.victim()["phase"]
    history = copy.lines(_HISTORY)
    unsent = [line for line in history if line["phase"] == phase][-10:]
    copy.write_lines(_HISTORY, [line for line in history if line not in unsent])
    copy.drop_tasks([line["task_id"] for line in unsent])
    copy.count_more(-len(unsent))


def _set(copy: Copy, **fields: object) -> str:
    """Set fields of the victim's submission; returns the task it was answered with."""
    one = str(copy.victim()["id"])
    history = copy.lines(_HISTORY)
    history[_line_of(history, one)].update(fields)
    copy.write_lines(_HISTORY, history)
    return one


def _line_of(history: list[Record], task_id: str) -> int:
    return next(at for at, line in enumerate(history) if line["task_id"] == task_id)


CLIENT = (
    Sabotage(answer_two_submissions_with_one_task, FAIL, "accepted_once"),
    Sabotage(answer_with_a_task_that_never_was, FAIL, "none_lost"),
    Sabotage(refuse_a_valid_submission, FAIL, "submissions_answered"),
    Sabotage(forget_a_submission, FAIL, "none_unexpected"),
    Sabotage(cut_the_last_line, FAIL, "none_unexpected"),
    Sabotage(garble_a_line, INVALID, "Unreadable"),
    Sabotage(stop_sending_too_soon, UNKNOWN, "phases_complete", _ALIKE),
)
