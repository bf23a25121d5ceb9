"""A worker dies in the middle of a measured round, and the lab's own checker accounts for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from task_lab.run import Experiment, open_experiment
from task_lab.store import RunFolder

ROUND = "sleep-w3-r01"
PARAMS: dict[str, Any] = {
    "tasks": 2_000,
    "rounds": 1,
    "workers": [3],
    "workloads": ["sleep"],
    "drain_tasks": 300,
    "runtime": "native",
}
# What a dead worker counted after its last scrape is gone with it: Prometheus cannot agree.
BLIND = "counts_agree"


def kill_a_worker(experiment: Experiment) -> None:
    """Wait until the round is being worked on, then kill one of its workers."""
    _until(
        lambda: any(event.get("phase") == ROUND for event in RunFolder(experiment.folder).events())
    )
    with httpx.Client(base_url=experiment.endpoints.api_url) as client:
        page: dict[str, str | int] = {"state": "SUCCEEDED", "task_type": "sleep", "limit": 200}
        _until(lambda: len(client.get("/tasks", params=page).json()["items"]) == 200)
    experiment.runtime.kill_worker(experiment.runtime.replicas()[0])


def _until(is_so: Callable[[], bool], *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.timeout(240)
def test_a_killed_worker_costs_no_task(tmp_path: Path) -> None:
    experiment = open_experiment("throughput", results=tmp_path, **PARAMS)
    try:
        experiment.up()
        with ThreadPoolExecutor(1) as executor:
            killing = executor.submit(kill_a_worker, experiment)
            experiment.measure()
            killing.result()
        experiment.collect()
        experiment.check()
    finally:
        experiment.close()
    checks = RunFolder(experiment.folder).read_json("checks.json")["checks"]
    verdicts = {check["name"]: check["verdict"] for check in checks}
    del verdicts[BLIND]
    assert len(verdicts) >= 10
    assert set(verdicts.values()) == {"PASS"}, verdicts

    tasks = pd.read_parquet(experiment.folder / "tasks.parquet")
    of_round = tasks[tasks["phase"] == ROUND]
    assert len(of_round) == 2_000
    assert set(of_round["state"]) == {"SUCCEEDED"}
    assert (of_round["fence"] > 1).any(), "the killed worker held nothing: the fault did not bite"
    assert (of_round["attempts"] == 1).all(), "innocent tasks paid for their worker's death"
