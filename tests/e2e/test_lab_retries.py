"""The experiment on retries and dead letters, from its command to its report, on real processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from task_lab.check.verdict import Verdict
from task_lab.doctor import examine
from task_lab.execute import execute_run
from task_lab.notebook import missing_outputs
from task_lab.run import new_run
from task_lab.spec import definition_path

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]

TASKS, WARMUP = 120, 60
# Its own shares, waits short enough for a test, and hardly a floor.
CHANGES = {
    'name = "retries_and_dlq"': 'name = "short"',
    "warmup_tasks = 200": f"warmup_tasks = {WARMUP}",
    "floor_tasks = 20000": "floor_tasks = 200",
    'RETRY_BASE_S = "0.5"': 'RETRY_BASE_S = "0.1"',
    'RETRY_CAP_S = "3"': 'RETRY_CAP_S = "0.5"',
}


def short_definition(folder: Path) -> Path:
    text = definition_path("retries_and_dlq").read_text("utf-8")
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "short.toml"
    path.write_text(text, "utf-8")
    return path


def test_every_retry_and_every_dead_letter_comes_as_foretold(tmp_path: Path) -> None:
    asked = {"tasks": TASKS, "per_s": 60.0, "good": 0.5, "flaky": 0.25, "poison": 0.25}
    run = new_run(str(short_definition(tmp_path)), asked, results=tmp_path)
    verdict = execute_run(run, asked)

    checks = {one["name"]: one for one in run.read_json("checks.json")["checks"]}
    # the machine the tests run on may be too busy for its figures to be worth something
    red = {name for name, one in checks.items() if one["verdict"] != "PASS"}
    assert red <= {"generator_not_the_limit"}, {name: checks[name]["detail"] for name in red}
    assert verdict == (Verdict.INVALID if red else Verdict.PASS)
    assert missing_outputs(run.path) == []

    # of the load, and of the warm-up; a fifth of the poison dies at once
    parts = {
        **{"good": 60 + 30, "flaky-1": 10 + 5, "flaky-2": 10 + 5, "flaky-3": 10 + 5},
        **{"poison": 24 + 12, "poison-final": 6 + 3},
    }
    assert checks["foretold"]["expected"] == parts
    retries, dead = 15 * (1 + 2 + 3) + 36 * 4, 36 + 9
    total = TASKS + WARMUP
    summary = run.read_json("summary.json")
    assert {one["name"]: (one["ledger"], one["prometheus"]) for one in summary["expectations"]} == {
        "tasks": (total, total),
        "succeeded": (total - dead, total - dead),
        "dead letters": (dead, dead),
        "messages in tasks.dlq": (dead, None),
        "retries": (retries, retries),
        "attempts": (total + retries, total + retries),
    }
    assert summary["counts"] == {"client": total, "ledger": total, "prometheus": total}

    tasks = pd.read_parquet(run / "tasks.parquet").set_index("id")
    failures = pd.read_parquet(run / "attempt_failures.parquet")
    assert Counter(failures["outcome"]) == {"retried": retries, "dead": dead}
    letters = pd.read_parquet(run / "dead_letters.parquet")
    assert Counter(letters["reason"]) == {"RuntimeError": 36, "NonRetryable": 9}
    failed = set(tasks.index[tasks["state"] == "FAILED"])
    assert set(letters["task_id"]) == failed
    assert Counter(run.read_json("dlq.json")["message_ids"]) == Counter(failed)
    assert checks["backoff"]["observed"] == {"outside": 0, "early": 0, "witnessed": retries}
    assert [one["high_s"] for one in summary["backoff"]] == [0.1, 0.2, 0.4, 0.5]
