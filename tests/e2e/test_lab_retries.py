"""The experiment on retries and dead letters, from its command to its report, on real processes."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from task_lab.check.verdict import Verdict
from task_lab.doctor import examine
from task_lab.execute import execute_run
from task_lab.notebook import missing_outputs
from task_lab.run import new_run, open_experiment
from task_lab.store import RunFolder

from .definitions import shortened

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


def red_checks(run: RunFolder) -> dict[str, str]:
    """The checks that did not pass, but for those that a busy machine may turn red."""
    checks = run.read_json("checks.json")["checks"]
    return {
        one["name"]: one["detail"]
        for one in checks
        if one["verdict"] != "PASS" and one["name"] != "generator_not_the_limit"
    }


@pytest.mark.slow
def test_every_retry_and_every_dead_letter_comes_as_foretold(tmp_path: Path) -> None:
    asked = {"tasks": TASKS, "per_s": 60.0, "good": 0.5, "flaky": 0.25, "poison": 0.25}
    run = new_run(shortened("retries_and_dlq", tmp_path, CHANGES), asked, results=tmp_path)
    verdict = execute_run(run, asked)

    checks = {one["name"]: one for one in run.read_json("checks.json")["checks"]}
    assert red_checks(run) == {}
    assert verdict in (Verdict.PASS, Verdict.INVALID)
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


@pytest.mark.slow
def test_c16_a_broker_that_restarts_between_attempts_changes_no_count_and_no_wait(
    tmp_path: Path,
) -> None:
    """The broker forgets how often it delivered; attempts and waits are the ledger's own."""
    asked: dict[str, Any] = {"tasks": 90, "per_s": 45.0, "good": 0.2, "flaky": 0.4, "poison": 0.4}
    exp = open_experiment(
        shortened("retries_and_dlq", tmp_path, CHANGES), results=tmp_path, **asked
    )
    run = RunFolder(exp.folder)
    exp.up()

    def restart_the_broker() -> None:
        path = run / "history.jsonl"
        while not path.exists() or path.read_bytes().count(b"mix-w2-load") < 45:
            time.sleep(0.02)
        exp.runtime.stop_broker()
        exp.runtime.start_broker()

    with ThreadPoolExecutor() as pool:
        restarted = pool.submit(restart_the_broker)
        exp.measure()
        restarted.result()
    exp.collect()
    exp.check()
    exp.close()

    assert red_checks(run) == {}
    samples = (run / "samples.jsonl").read_text().splitlines()
    assert any(json.loads(sample)["ready"] is None for sample in samples), "the broker was away"
    tasks = pd.read_parquet(run / "tasks.parquet")
    assert tasks.loc[tasks["task_type"] == "fail", "attempts"].isin([1, 5]).all()
