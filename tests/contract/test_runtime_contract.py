"""What every runtime promises, over a real stack of each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from task_lab.errors import MissingPrograms, ProgramFailed, UsageError
from task_lab.faults.seen import answer_of
from task_lab.runtime.base import Endpoints, Runtime, Server
from task_lab.runtime.broker_probe import consumer_count
from task_lab.runtime.instance import MARK
from task_lab.runtime.process import run_boots, until
from task_lab.runtime.selection import runtime_for

from ..engine import COMPOSE, engine_or_skip

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2, 3, 4, 5]}, "max_retries": 2}

SCRIPT = """
import sys, time
from pathlib import Path
from task_lab.runtime.selection import runtime_for

runtime = runtime_for("native", Path(sys.argv[1]))
runtime.up(workers=1)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", params=["native", pytest.param("compose", marks=COMPOSE)])
def runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    if request.param == "compose":
        engine_or_skip()
    with runtime_for(request.param, tmp_path_factory.mktemp("runtime")) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def endpoints(runtime: Runtime) -> Endpoints:
    try:
        return runtime.up(workers=1)
    except MissingPrograms as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def wait_until(is_done: Callable[[], bool], what: str, deadline_s: float = 20) -> None:
    run_boots(until(is_done, what=what, deadline_s=deadline_s))


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def instances_of_this_process() -> set[str]:
    """The instances that processes started from here belong to."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found.add(process.environ().get(MARK, ""))
    return found - {""}


def submit(endpoints: Endpoints) -> str:
    answer = httpx.post(f"{endpoints.api_url}/tasks", json=SUM, timeout=10)
    assert answer.status_code == 201
    return str(answer.json()["id"])


def state_of(endpoints: Endpoints, task_id: str) -> str:
    return str(httpx.get(f"{endpoints.api_url}/tasks/{task_id}").json()["state"])


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1).is_success
    except httpx.HTTPError:
        return False


def wait_succeeded(endpoints: Endpoints, task_id: str) -> None:
    wait_until(lambda: state_of(endpoints, task_id) == "SUCCEEDED", "the task to succeed")


def targets(endpoints: Endpoints, job: str) -> dict[str, str]:
    """Prometheus's latest `up` of each target of a job, by its name."""
    answer = httpx.get(
        f"{endpoints.prometheus_url}/api/v1/query", params={"query": f'up{{job="{job}"}}'}
    ).json()
    return {one["metric"]["instance"]: one["value"][1] for one in answer["data"]["result"]}


def test_a_stack_that_is_up_runs_tasks(runtime: Runtime, endpoints: Endpoints) -> None:
    wait_succeeded(endpoints, submit(endpoints))


def test_a_stack_that_is_up_is_scraped_whole(runtime: Runtime, endpoints: Endpoints) -> None:
    assert targets(endpoints, "api") == {"api": "1"}
    assert targets(endpoints, "relay") == {"relay": "1"}
    assert targets(endpoints, "worker") == {runtime.replicas()[0].name: "1"}
    # The broker's metrics plugin may answer a moment after the broker itself.
    wait_until(
        lambda: list(targets(endpoints, "rabbitmq").values()) == ["1"],
        "Prometheus to scrape the broker",
    )
    assert "rabbitmq_queue_messages_ready" in httpx.get(endpoints.rabbitmq_metrics_url).text


def test_each_part_that_runs_on_this_host_is_named_with_its_process(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    (replica,) = runtime.replicas()
    groups = runtime.process_groups()
    if groups or runtime.name == "native":  # else the engine's containers are on another host
        servers = {"postgres", "rabbitmq", "redis", "prometheus"}
        assert {"api", "relay", replica.name} | servers <= set(groups)
        assert groups[replica.name] == [replica.pid]
    assert all(psutil.pid_exists(pid) for pids in groups.values() for pid in pids)


def test_a_stack_can_be_brought_up_only_once(runtime: Runtime, endpoints: Endpoints) -> None:
    with pytest.raises(UsageError):
        runtime.up()
    wait_succeeded(endpoints, submit(endpoints))


def test_b4_scaling_returns_when_replicas_consumers_and_targets_agree(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    oldest = runtime.scale(1)[0]
    replicas = runtime.scale(3)
    assert replicas == runtime.replicas()
    assert replicas[0] == oldest
    assert len({replica.pid for replica in replicas}) == 3
    assert consumer_count(endpoints.amqp_url, "tasks") == 3
    assert targets(endpoints, "worker") == {replica.name: "1" for replica in replicas}

    assert runtime.scale(1) == [oldest]
    assert consumer_count(endpoints.amqp_url, "tasks") == 1
    assert targets(endpoints, "worker") == {oldest.name: "1"}

    second = runtime.scale(2)[1]
    assert second.name not in {replica.name for replica in replicas}


def test_scaling_to_a_negative_number_is_refused(runtime: Runtime, endpoints: Endpoints) -> None:
    with pytest.raises(UsageError):
        runtime.scale(-1)


def test_paused_workers_finish_nothing_until_resumed(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    runtime.scale(1)
    ops_url = runtime.replicas()[0].ops_url
    runtime.pause_workers()
    wait_until(lambda: not answers(ops_url), "the worker to freeze")
    task = submit(endpoints)
    assert state_of(endpoints, task) == "QUEUED"
    runtime.resume_workers()
    wait_succeeded(endpoints, task)


def test_a_killed_worker_is_gone_until_scaling_replaces_it(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    victim, survivor = runtime.scale(2)
    runtime.kill_worker(victim)
    assert runtime.replicas() == [survivor]
    assert not psutil.pid_exists(victim.pid)
    with pytest.raises(UsageError):
        runtime.kill_worker(victim)
    assert victim not in runtime.scale(2)
    wait_succeeded(endpoints, submit(endpoints))


@pytest.mark.parametrize("name", ["worker-2", "relay", "api"])
def test_a_process_killed_by_its_name_stays_away_until_it_is_started(
    runtime: Runtime, endpoints: Endpoints, name: str
) -> None:
    runtime.scale(2)
    victim = runtime.process(name)
    assert victim.state == "running"
    runtime.kill(name)
    assert runtime.process(name).state == "ended"
    assert not psutil.pid_exists(victim.pid)
    runtime.start(name)
    back = runtime.process(name)
    assert (back.name, back.state) == (victim.name, "running")
    assert back.pid != victim.pid
    wait_succeeded(endpoints, submit(endpoints))
    with pytest.raises(UsageError, match="running already"):
        runtime.start(name)


def test_a_process_frozen_by_its_name_goes_on_when_thawed(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    runtime.freeze("api")
    assert runtime.process("api").state == "frozen"
    assert not answers(endpoints.api_url)
    runtime.thaw("api")
    assert runtime.process("api").state == "running"
    wait_succeeded(endpoints, submit(endpoints))


def test_a_name_that_nobody_has_is_refused_with_the_nearest(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    with pytest.raises(UsageError, match="did you mean 'relay'"):
        runtime.kill("rely")


@pytest.mark.parametrize("server", ["broker", "database"])
def test_a_server_that_is_cut_off_answers_nobody_until_the_cut_ends(
    runtime: Runtime, endpoints: Endpoints, server: Server
) -> None:
    url = endpoints.amqp_url if server == "broker" else endpoints.database_url
    assert runtime.endpoints() == endpoints
    assert answer_of(url) == "answered"
    with runtime.cut_off(server) as means:
        assert means
        assert answer_of(url) != "answered"
    wait_until(lambda: answer_of(url) == "answered", "the server to answer")
    wait_succeeded(endpoints, submit(endpoints))


def test_a_stopped_broker_comes_back_at_the_same_address(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    runtime.stop_broker()
    assert consumer_count(endpoints.amqp_url, "tasks") is None
    task = submit(endpoints)
    runtime.start_broker()
    wait_succeeded(endpoints, task)
    with pytest.raises(UsageError, match="running already"):
        runtime.start_broker()


def test_a_stopped_api_comes_back_at_the_same_address(
    runtime: Runtime, endpoints: Endpoints
) -> None:
    runtime.stop_api()
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoints.api_url)
    runtime.start_api()
    wait_succeeded(endpoints, submit(endpoints))
    with pytest.raises(UsageError, match="running already"):
        runtime.start_api()
    wait_succeeded(endpoints, submit(endpoints))


def test_each_process_has_a_log_without_passwords(runtime: Runtime, endpoints: Endpoints) -> None:
    logs = {log.name.split(".")[0]: log.read_text() for log in runtime.logs_dir().iterdir()}
    assert logs.keys() >= {"api", "relay", "worker-1", "postgres", "rabbitmq", "prometheus"}
    for url in (endpoints.database_url, endpoints.amqp_url):
        password = httpx.URL(url).password
        assert not [name for name, text in logs.items() if password in text]


def test_down_leaves_nothing_but_logs(runtime: Runtime, endpoints: Endpoints) -> None:
    replica = runtime.replicas()[0]
    runtime.down()
    runtime.down()
    assert not psutil.pid_exists(replica.pid)
    for url in (endpoints.api_url, endpoints.prometheus_url, replica.ops_url):
        assert url.startswith("http://127.0.0.1:")
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    assert runtime.replicas() == []
    assert (runtime.logs_dir() / "api.log").exists()


def test_nothing_can_be_asked_of_a_stack_that_is_not_up(tmp_path: Path) -> None:
    runtime = runtime_for("native", tmp_path)
    forbidden: list[Callable[[], Any]] = [
        lambda: runtime.scale(1),
        runtime.stop_broker,
        runtime.start_api,
    ]
    for call in forbidden:
        with pytest.raises(UsageError):
            call()
    runtime.down()


def test_a_setting_the_platform_refuses_is_told_in_its_words(
    tmp_path: Path, servers: object
) -> None:
    before = instances_of_this_process()
    runtime = runtime_for("native", tmp_path)
    with pytest.raises(ProgramFailed, match="TASK_PLATFORM_QUEUE_TYPE") as caught:
        runtime.up(settings={"TASK_PLATFORM_QUEUE_TYPE": "nonsense"})
    assert caught.value.program == "migrate"
    assert instances_of_this_process() == before


@pytest.mark.slow
def test_nothing_is_left_of_a_lab_killed_with_its_stack_up(tmp_path: Path, servers: object) -> None:
    lab = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout
    assert lab.stdout.readline() == "up\n"
    stack = psutil.Process(lab.pid).children(recursive=True)
    assert len(stack) >= 7
    lab.send_signal(signal.SIGKILL)
    lab.communicate(timeout=30)
    wait_until(lambda: not any(map(is_running, stack)), "end of every process")
