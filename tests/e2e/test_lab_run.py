"""Whole runs of the lab on real processes: to the end, and cut short."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from task_lab.doctor import examine
from task_lab.load.processes import GeneratorDied
from task_lab.run import open_experiment
from task_lab.store import RunFolder

from .definitions import shortened

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]


def test_a_run_reads_as_its_steps_and_passes_its_checks(tmp_path: Path) -> None:
    exp = open_experiment(
        "throughput", results=tmp_path, tasks=60, rounds=2, workers=[1, 2], workloads="sum"
    )
    exp.up()
    exp.measure()
    exp.collect()
    exp.check()
    exp.close()
    exp.close()

    folder = RunFolder(exp.folder)
    checks = folder.read_json("checks.json")
    # the machine the tests run on may be too busy for its figures to be worth something
    red = {one["name"] for one in checks["checks"] if one["verdict"] != "PASS"}
    assert red <= {"generator_not_the_limit"}
    planned = sum(phase.tasks for phase in exp.spec.phases())
    assert checks["counts"] == {
        "client": planned,
        "ledger": planned,
        "prometheus": planned,
        "notes": [],
    }
    run = folder.run()
    assert (run["ended"], run["verdict"]) == ("completed", "UNKNOWN")  # not judged yet
    assert run["windows"]["start"] < run["windows"]["end"]
    assert {"postgres", "rabbitmq", "prometheus", "redis"} <= set(run["versions"])

    tasks = pd.read_parquet(folder / "tasks.parquet")
    assert set(tasks["phase"]) == {phase.name for phase in exp.spec.phases()}
    drain = tasks[tasks["phase"] == "sum-w2-drain"]
    (ended,) = (
        event
        for event in folder.events()
        if (event["event"], event.get("phase")) == ("phase_ended", "sum-w2-drain")
    )
    assert drain["created_at"].max() < ended["resumed_at"]
    assert drain["started_at"].min() > drain["created_at"].max()  # filled while no worker ran
    samples = (folder / "samples.jsonl").read_text().splitlines()
    assert any(json.loads(sample)["ready"] is not None for sample in samples)


@pytest.mark.slow
def test_a_step_that_fails_stops_the_stack_and_leaves_the_run_unknown(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)
    exp = open_experiment("throughput", results=tmp_path, tasks=10, rounds=1, workers=1)
    exp.up()
    started = set(psutil.Process().children(recursive=True)) - set(before)
    (sender,) = (p for p in started if "task_lab.load.sender" in p.cmdline())
    sender.kill()
    with pytest.raises(GeneratorDied):
        exp.measure()
    wait_for(lambda: not any(map(is_alive, started)))
    run = RunFolder(exp.folder).run()
    assert (run["ended"], run["verdict"]) == ("crashed", "UNKNOWN")


class Lab:
    """`task-lab run throughput`, as a user starts it."""

    def __init__(self, results: Path) -> None:
        definition = shortened("throughput", results, {"floor_tasks = 20000": "floor_tasks = 400"})
        options = ["--tasks", "2000", "--rounds", "3", "--workers", "1", "--workloads", "sum"]
        self._results = results
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "task_lab.cli", "run", definition, "--json"),
                *(*options, "--results", str(results)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: self.submitted() > 500, within_s=90)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def folder(self) -> RunFolder:
        (path,) = self._results.glob("throughput/*")
        return RunFolder(path)

    def submitted(self) -> int:
        assert self.process.poll() is None, "the lab ended before it was meant to"
        histories = list(self._results.glob("throughput/*/history.jsonl"))
        return histories[0].read_bytes().count(b"\n") if histories else 0

    def kernel(self) -> psutil.Process:
        (kernel,) = (p for p in self.children if "ipykernel_launcher" in str(p.cmdline()))
        return kernel

    def end(self) -> tuple[int, dict[str, Any]]:
        """Exit code and the last line it printed, once nothing of it is left."""
        output, _ = self.process.communicate(timeout=90)
        wait_for(lambda: not any(map(is_alive, self.children)))
        return self.process.returncode, json.loads(output.splitlines()[-1])


@pytest.mark.slow
def test_a7_a_killed_kernel_leaves_an_unknown_run_its_history_and_nothing_else(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path)
    lab.kernel().kill()
    code, said = lab.end()
    run = lab.folder.run()
    assert code == 2
    assert said == {"run": str(lab.folder.path), "verdict": "UNKNOWN"}
    assert (run["verdict"], run["ended"]) == ("UNKNOWN", "crashed")
    assert (lab.folder / "history.jsonl").read_bytes().count(b"\n") > 500


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_says_so_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    lab = Lab(tmp_path)
    lab.process.send_signal(number)
    code, said = lab.end()
    run = lab.folder.run()
    assert code == 130
    assert said["verdict"] == "INTERRUPTED"
    assert (run["verdict"], run["ended"]) == ("INTERRUPTED", "interrupted")


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
