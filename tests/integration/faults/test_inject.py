"""Planned faults on a real stack: each bites, each is healed, on every way out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from task_lab.check.verdict import Verdict
from task_lab.errors import MissingPrograms
from task_lab.faults.inject import FaultsFailed, Injector
from task_lab.faults.planned import read_plan
from task_lab.faults.proof import check_faults_bit
from task_lab.faults.seen import answer_of
from task_lab.runtime.native import NativeRuntime
from task_lab.runtime.process import run_boots, until

LOAD_S = 120.0
SUM = {"task_type": "sum", "payload": {"numbers": [1, 2]}}

INTERRUPTED = """
import json, signal, sys, time
from pathlib import Path
from task_lab.faults.inject import Injector
from task_lab.faults.planned import read_plan
from task_lab.runtime.native import NativeRuntime

def record(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)

def main(text, folder):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with NativeRuntime(Path(folder), programs={"postgres", "rabbitmq"}) as runtime:
        runtime.up(workers=1)
        try:
            with Injector(runtime, read_plan(text).strikes(600), record) as injector:
                injector.begin()
                time.sleep(600)
        except KeyboardInterrupt:
            record("interrupted", worker=runtime.process("worker-1").state)

main(*sys.argv[1:])
"""


class Recorder:
    """Keeps the events that it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, "at": time.time(), **json.loads(json.dumps(fields))})

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def the(self, name: str) -> dict[str, Any]:
        (event,) = [event for event in self.events if event["event"] == name]
        return event


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeRuntime]:
    folder = tmp_path_factory.mktemp("faults")
    with NativeRuntime(folder, programs={"postgres", "rabbitmq"}) as runtime:
        try:
            runtime.up(workers=2)
        except MissingPrograms as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        yield runtime


def injected(runtime: NativeRuntime, text: str) -> Recorder:
    """What a plan's faults left behind."""
    record, plan = Recorder(), read_plan(text)
    plan.check(load_s=LOAD_S, workers=2)
    with Injector(runtime, plan.strikes(LOAD_S), record) as injector:
        injector.begin()
        injector.wait()
    return record


def works(runtime: NativeRuntime) -> None:
    """A task submitted now succeeds."""
    url = runtime.endpoints().api_url

    def is_done(task: str) -> bool:
        return bool(httpx.get(f"{url}/tasks/{task}", timeout=10).json()["state"] == "SUCCEEDED")

    task = httpx.post(f"{url}/tasks", json=SUM, timeout=30).raise_for_status().json()["id"]
    run_boots(until(lambda: is_done(task), what="the task to succeed", deadline_s=30))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("kill worker-2 at 0 for 0.2", {"process": "worker-2", "state": "ended"}),
        ("kill relay at 0 for 0.2", {"process": "relay", "state": "ended"}),
        ("kill api at 0 for 0.2", {"process": "api", "state": "ended"}),
        ("freeze worker-1 at 0 for 0.2", {"process": "worker-1", "state": "frozen"}),
        pytest.param("broker_restart at 0", {"connection": "refused"}, marks=pytest.mark.slow),
        ("database_restart at 0", {"connection": "refused"}),
        ("database_crash at 0", {"connection": "refused"}),
        ("network_cut broker at 0 for 0.2", {"connection": "silent"}),
        ("network_cut database at 0 for 0.2", {"connection": "silent"}),
    ],
)
def test_each_kind_bites_is_proven_and_is_healed(
    runtime: NativeRuntime, text: str, seen: dict[str, str]
) -> None:
    record = injected(runtime, text)
    assert record.names() == [
        "fault_planned",
        "fault_started",
        "fault_injected",
        "heal_started",
        "fault_healed",
        "healed",
    ]
    assert record.the("fault_injected").items() >= {"bit": True, **seen}.items()
    assert record.the("fault_injected")["means"]
    assert check_faults_bit(record.events).verdict is Verdict.PASS
    for name in ("worker-1", "worker-2", "relay", "api"):
        assert runtime.process(name).state == "running"
    works(runtime)


def test_faults_on_different_targets_last_side_by_side(runtime: NativeRuntime) -> None:
    record = injected(runtime, "freeze worker-1 at 0 for 1; freeze worker-2 at 0.2 for 0.1")
    healed = [event["target"] for event in record.events if event["event"] == "fault_healed"]
    assert healed == ["worker-2", "worker-1"]
    assert check_faults_bit(record.events).verdict is Verdict.PASS


def test_a_fault_that_lasts_as_long_as_planned_strikes_when_planned(
    runtime: NativeRuntime,
) -> None:
    record = injected(runtime, "freeze api at 0.5 for 0.5")
    planned, struck = record.the("fault_planned")["at"], record.the("fault_injected")["at"]
    assert 0.5 <= struck - planned < 1.0
    assert 0.5 <= record.the("fault_healed")["at"] - struck < 1.0


def test_f3_an_idle_injector_costs_next_to_nothing(runtime: NativeRuntime) -> None:
    """Its threads sleep, and no proxy stands in anybody's way."""
    text = (
        "kill worker-1 at 60 every 60; freeze api at 60; broker_restart at 60; database_crash at 60"
    )
    record = Recorder()
    with Injector(runtime, read_plan(text).strikes(600), record) as injector:
        injector.begin()
        before_s = time.process_time()
        time.sleep(1)
        assert time.process_time() - before_s < 0.02
    assert "fault_started" not in record.names()


def test_f1_a_block_left_by_an_exception_heals_at_once_and_strikes_no_more(
    runtime: NativeRuntime,
) -> None:
    record = Recorder()
    plan = read_plan("freeze worker-1 at 0 for 60; kill worker-2 at 30")
    began = time.monotonic()
    with (
        pytest.raises(RuntimeError, match="boom"),
        Injector(runtime, plan.strikes(LOAD_S), record) as injector,
    ):
        injector.begin()
        run_boots(
            until(lambda: "fault_injected" in record.names(), what="the fault", deadline_s=10)
        )
        assert runtime.process("worker-1").state == "frozen"
        raise RuntimeError("boom")
    assert time.monotonic() - began < 15
    assert runtime.process("worker-1").state == "running"
    assert record.the("fault_healed")["target"] == "worker-1"
    assert record.the("fault_skipped")["reason"] == "the load ended before it was due"
    assert record.names()[-1] == "healed"
    assert check_faults_bit(record.events).verdict is Verdict.UNKNOWN


def test_a_target_that_has_ended_already_is_skipped_and_not_raised_from_the_dead(
    runtime: NativeRuntime,
) -> None:
    runtime.kill("worker-2")
    try:
        record = injected(runtime, "kill worker-2 at 0 for 0.1")
        assert record.the("fault_skipped")["reason"] == "worker-2 was ended already"
        assert runtime.process("worker-2").state == "ended"
        check = check_faults_bit(record.events)
        assert (check.verdict, check.observed) == (Verdict.UNKNOWN, {})
    finally:
        runtime.start("worker-2")


def test_a_fault_that_comes_while_its_target_is_still_healed_is_skipped(
    runtime: NativeRuntime,
) -> None:
    record, plan = Recorder(), read_plan("broker_restart at 0; network_cut broker at 0.5")
    with Injector(runtime, plan.strikes(LOAD_S), record) as injector:
        injector.begin()
        injector.wait()
    assert record.the("fault_skipped")["reason"] == "broker was still being healed"
    assert record.the("fault_healed")["kind"] == "broker_restart"


def test_a_fault_that_cannot_be_injected_is_told_where_faults_are_waited_for(
    runtime: NativeRuntime,
) -> None:
    record, plan = Recorder(), read_plan("kill worker-9 at 0")
    with (
        pytest.raises(FaultsFailed, match="no process 'worker-9'"),
        Injector(runtime, plan.strikes(LOAD_S), record) as injector,
    ):
        injector.begin()
        injector.wait()
    assert "no process 'worker-9'" in record.the("fault_skipped")["reason"]


def interrupted_lab(text: str, folder: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A lab in a process of its own, in mid-fault, and all processes of its stack."""
    lab = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, text, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout
    missing = len(read_plan(text).faults)
    while missing:
        missing -= json.loads(lab.stdout.readline())["event"] == "fault_injected"
    return lab, psutil.Process(lab.pid).children(recursive=True)


def rest_of(lab: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, _ = lab.communicate(timeout=60)
    return [json.loads(line) for line in output.splitlines()]


def until_gone(stack: list[psutil.Process]) -> None:
    def is_there(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    run_boots(until(lambda: not any(map(is_there, stack)), what="their end", deadline_s=30))


def test_f1_a_lab_told_to_end_in_mid_fault_heals_first(
    tmp_path: Path, runtime: NativeRuntime
) -> None:
    lab, stack = interrupted_lab("freeze worker-1 at 0 for 300", tmp_path)
    lab.send_signal(signal.SIGTERM)
    events = rest_of(lab)
    assert [event["event"] for event in events] == [
        "heal_started",
        "fault_healed",
        "healed",
        "interrupted",
    ]
    assert events[-1]["worker"] == "running"
    assert lab.returncode == 0
    until_gone(stack)


@pytest.mark.slow
def test_f1_a_second_interrupt_does_not_keep_the_broker_from_being_healed(
    tmp_path: Path, runtime: NativeRuntime
) -> None:
    lab, stack = interrupted_lab("broker_restart at 0 for 300", tmp_path)
    lab.send_signal(signal.SIGINT)
    assert lab.stdout
    assert json.loads(lab.stdout.readline())["event"] == "heal_started"
    lab.send_signal(signal.SIGINT)
    names = [event["event"] for event in rest_of(lab)]
    assert names == ["fault_healed", "healed", "interrupted"]
    until_gone(stack)


@pytest.mark.slow
def test_f1_nothing_is_left_of_a_lab_killed_in_mid_fault(
    tmp_path: Path, runtime: NativeRuntime
) -> None:
    both = "freeze worker-1 at 0 for 300; network_cut broker at 0 for 300"
    lab, stack = interrupted_lab(both, tmp_path)
    stopped = [one for one in stack if one.status() == psutil.STATUS_STOPPED]
    assert {one.name() for one in stopped} >= {"python", "beam.smp"}
    lab.kill()
    lab.communicate(timeout=30)
    until_gone(stack)


def test_a_server_that_nobody_runs_refuses(runtime: NativeRuntime) -> None:
    endpoints = runtime.endpoints()
    assert answer_of(endpoints.database_url) == answer_of(endpoints.amqp_url) == "answered"
    assert answer_of("amqp://127.0.0.1:1/") == "refused"
