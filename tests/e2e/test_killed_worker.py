"""A worker dies in the middle of a measured round, and the lab's own checker accounts for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pandas as pd
import pytest
from task_lab.run import Experiment, open_experiment
from task_lab.runtime.base import Replica
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


HOLDS = """
select 1
from claims, unnest(task_ids, fences) as held (task_id, fence)
join tasks on tasks.id = held.task_id and tasks.fence = held.fence
where owner like $1 and state = 'PROCESSING'
limit 1
"""
IS_ASKED = """
select 1 from pg_stat_activity where application_name = 'task-platform worker' and state = 'active'
"""


async def kill_a_worker_at_work(experiment: Experiment, *, within_s: float) -> None:
    """Wait until the round is under way and a worker holds tasks of it, then kill that worker."""
    folder = RunFolder(experiment.folder)
    async with asyncio.timeout(within_s):
        while not any(event.get("phase") == ROUND for event in folder.events()):
            await asyncio.sleep(0.02)
        victim = experiment.runtime.replicas()[0]
        ledger = await asyncpg.connect(experiment.endpoints.database_url)
        try:
            await _freeze_at_work(experiment, ledger, victim)
            experiment.runtime.kill_worker(victim)
        finally:
            experiment.runtime.resume_workers()
            await ledger.close()


async def _freeze_at_work(
    experiment: Experiment, ledger: asyncpg.Connection, victim: Replica
) -> None:
    """Freeze all workers at a moment in which the victim holds tasks that have not ended."""
    while True:
        experiment.runtime.pause_workers()
        # What they asked for before is carried out still.
        while await ledger.fetchval(IS_ASKED):
            await asyncio.sleep(0.005)
        # An owner's name holds its process id.
        if await ledger.fetchval(HOLDS, f"%:{victim.pid}:%"):
            return
        experiment.runtime.resume_workers()
        await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_worker_costs_no_task(tmp_path: Path) -> None:
    experiment = open_experiment("throughput", results=tmp_path, **PARAMS)
    try:
        experiment.up()
        with ThreadPoolExecutor(1) as executor:
            killing = executor.submit(asyncio.run, kill_a_worker_at_work(experiment, within_s=60))
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
