"""Which phase, workload and worker count a task of the ledger belongs to."""

from __future__ import annotations

import pandas as pd
from task_lab.collect.database import with_phases

PHASES = [
    {"phase": "sum-w1-r01", "workload": "sum", "workers": 1, "kind": "round"},
    {"phase": "sum-w3-r01", "workload": "sum", "workers": 3, "kind": "round"},
]
TASKS = pd.DataFrame({"id": ["a", "b", "c"], "state": ["SUCCEEDED"] * 3})


def history(rows: list[tuple[str | None, str]]) -> pd.DataFrame:
    sent = pd.DataFrame(rows, columns=["task_id", "phase"])
    return sent.assign(index=range(len(sent)))


def test_a_task_gets_the_phase_it_was_sent_in_and_a_stranger_none() -> None:
    sent = history([("c", "sum-w3-r01"), ("a", "sum-w1-r01"), (None, "sum-w1-r01")])
    tasks = with_phases(TASKS, sent, PHASES)
    assert tasks["id"].tolist() == ["a", "b", "c"]
    assert tasks["workload"].iloc[[0, 2]].tolist() == ["sum", "sum"]
    assert tasks["workers"].iloc[[0, 2]].tolist() == [1, 3]
    assert tasks["index"].iloc[[0, 2]].tolist() == [1, 0]
    assert tasks.loc[1, ["phase", "index", "workload", "workers"]].isna().all()


def test_a_task_accepted_twice_stays_one_row() -> None:
    tasks = with_phases(TASKS, history([("a", "sum-w1-r01"), ("a", "sum-w3-r01")]), PHASES)
    assert len(tasks) == 3


def test_an_empty_ledger_has_the_columns_all_the_same() -> None:
    tasks = with_phases(TASKS.iloc[:0], history([]), [])
    assert {"phase", "workload", "workers"} <= set(tasks.columns)
    assert len(tasks) == 0
