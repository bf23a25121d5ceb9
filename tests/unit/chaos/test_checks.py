"""What a trial shows beside its history: each check passes what is right and sees what is not."""

from __future__ import annotations

from typing import Literal

import pytest
from task_lab.chaos.checks import check_deaths, check_settled, check_works_again
from task_lab.chaos.load import again_key, mixed_load, one_more
from task_lab.check.histories import Operation
from task_lab.check.histories_ledger import Ledger, TaskRow
from task_lab.check.verdict import Verdict
from task_lab.runtime.restarter import Death
from task_platform.domain.task import State

KEY = again_key(1)


def ledger(*rows: TaskRow) -> Ledger:
    return Ledger(rows, {}, [], [], [], [], [], [], [], [], 0)


def row(state: State, task_type: str = "sum", fence: int = 1) -> TaskRow:
    return TaskRow("t", task_type, "{}", 3, state, 1, fence)


def sent(outcome: Literal["ok", "failed", "unknown"]) -> list[Operation]:
    one = Operation(KEY, "sum", {}, 3, outcome, "t" if outcome == "ok" else None, "SUCCEEDED")
    other = Operation("chaos-1-0", "sum", {}, 3, "ok", "other", "SUCCEEDED")
    return [other, one]


@pytest.mark.parametrize(
    ("outcome", "rows", "verdict"),
    [
        ("ok", [row(State.SUCCEEDED)], Verdict.PASS),
        ("ok", [row(State.QUEUED)], Verdict.FAIL),
        ("ok", [row(State.FAILED)], Verdict.FAIL),
        ("ok", [], Verdict.FAIL),
        ("unknown", [], Verdict.FAIL),
        ("failed", [], Verdict.FAIL),
    ],
)
def test_a_platform_works_again_when_the_last_task_succeeds(
    outcome: Literal["ok", "failed", "unknown"], rows: list[TaskRow], verdict: Verdict
) -> None:
    assert check_works_again(KEY, sent(outcome), ledger(*rows)).verdict is verdict


def test_the_last_task_is_one_of_its_own() -> None:
    (task,) = one_more(1).submissions
    assert (task.key, task.expected) == (KEY, "SUCCEEDED")
    assert KEY not in {one.key for call in mixed_load(1) for one in call.submissions}


def test_whatever_is_left_is_no_rest() -> None:
    assert check_settled({"tasks": 0, "outbox": 0}, within_s=1).verdict is Verdict.PASS
    unsettled = check_settled({"tasks": 0, "outbox": 2}, within_s=1)
    assert (unsettled.verdict, unsettled.observed) == (Verdict.FAIL, {"outbox": 2})


@pytest.mark.parametrize(
    ("job", "task_type", "verdict"),
    [
        ("worker", "crash", Verdict.PASS),
        ("worker", "sum", Verdict.FAIL),
        ("relay", "crash", Verdict.FAIL),
    ],
)
def test_only_workers_that_are_told_to_end_by_themselves(
    job: str, task_type: str, verdict: Verdict
) -> None:
    death = Death(at=0.0, name=job, job=job, exit_code=1, pause_s=1.0)
    assert check_deaths([death], ledger(row(State.FAILED, task_type))).verdict is verdict
