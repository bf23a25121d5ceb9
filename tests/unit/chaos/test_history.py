"""The client's history: what it makes of answers, repeats and silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.chaos.history import (
    Answer,
    History,
    check_answers,
    count_repeats,
    operations_of,
    read_sent,
)
from task_lab.chaos.load import Expected, Submission
from task_lab.check.verdict import Verdict

OK = Answer("ok", "task-1", "201")
OTHER = Answer("ok", "task-2", "200")
REFUSED = Answer("fail", None, "422")
SILENT = Answer("info", None, "TimeoutError")


def sent_with(path: Path, *answers: Answer | None, expected: Expected = "SUCCEEDED") -> Path:
    """The history of one key; None: the line of the answer was never written."""
    history = History(path / "history.jsonl")
    one = Submission("key", "sum", {"numbers": [1]}, 3, expected)
    for call, answer in enumerate(answers):
        history.invoked([one], call=call, api=0)
        if answer:
            history.answered([one], [answer], call=call)
    return path / "history.jsonl"


@pytest.mark.parametrize(
    ("answers", "outcome", "task_id"),
    [
        ([OK], "ok", "task-1"),
        ([SILENT], "unknown", None),
        ([None], "unknown", None),
        ([REFUSED], "failed", None),
        ([SILENT, OK], "ok", "task-1"),
        ([OK, SILENT], "ok", "task-1"),
        ([SILENT, SILENT], "unknown", None),
        ([REFUSED, REFUSED], "failed", None),
        ([SILENT, REFUSED], "unknown", None),
        ([None, REFUSED], "unknown", None),
    ],
)
def test_an_acceptance_settles_what_was_unclear_and_a_refusal_does_not(
    answers: list[Answer | None], outcome: str, task_id: str | None, tmp_path: Path
) -> None:
    (operation,) = operations_of(read_sent(sent_with(tmp_path, *answers)))
    assert (operation.key, operation.outcome, operation.task_id) == ("key", outcome, task_id)
    assert (operation.task_type, operation.payload) == ("sum", {"numbers": [1]})


def failed(path: Path) -> set[str]:
    return {check.name for check in check_answers(read_sent(path)) if check.verdict is Verdict.FAIL}


def test_repeats_that_name_another_task_are_found(tmp_path: Path) -> None:
    assert failed(sent_with(tmp_path, OK, OTHER)) == {"repeats_name_one_task"}


def test_a_refusal_of_what_is_right_is_found(tmp_path: Path) -> None:
    assert failed(sent_with(tmp_path, SILENT, REFUSED)) == {"answers_fit"}


def test_acceptance_of_what_is_wrong_is_found(tmp_path: Path) -> None:
    assert failed(sent_with(tmp_path, OK, expected="REFUSED")) == {"answers_fit"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([OK, SILENT, OK], "SUCCEEDED"), ([REFUSED, SILENT], "REFUSED")],
)
def test_good_histories_pass(answers: list[Answer], expected: Expected, tmp_path: Path) -> None:
    assert failed(sent_with(tmp_path, *answers, expected=expected)) == set()


def test_repeats_are_counted(tmp_path: Path) -> None:
    sent = read_sent(sent_with(tmp_path, SILENT, OK, OK))
    assert count_repeats(sent) == {"repeats": 2, "replayed": 1}


def test_a_line_cut_by_a_kill_is_no_answer(tmp_path: Path) -> None:
    path = sent_with(tmp_path, OK)
    path.write_text(path.read_text()[:-10])
    (operation,) = operations_of(read_sent(path))
    assert operation.outcome == "unknown"
