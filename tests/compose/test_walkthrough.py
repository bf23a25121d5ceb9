"""The README's walk through the compose stack, step by step, as a newcomer would take it.

The tests share one stack and stand in the order of the walk.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack

import httpx
import pytest
from task_lab.compose_stack import ComposeStack
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.ports import LOOPBACK

from ..engine import COMPOSE
from .stack import NOBODYS, SUM, UserStack, wait_until

pytestmark = COMPOSE

# From the command's start: what a replica may take until Prometheus has scraped it.
FOUND_WITHIN_S = 15.0
# Three times that, for a machine that is busy with something else.
DEADLINE_S = 3 * FOUND_WITHIN_S


def workers_up(stack: UserStack) -> int:
    return list(stack.targets("worker").values()).count("up")


def test_everything_comes_up_and_listens_on_loopback_only(stack: UserStack) -> None:
    containers = {one.service: one for one in stack.project.containers()}
    assert containers.keys() >= {
        *("api", "worker", "relay", "migrate", "postgres", "rabbitmq", "redis", "prometheus"),
        *("postgres-exporter", "alertmanager"),
    }
    assert containers["migrate"].exit_code == 0
    bindings = docker(
        *("container", "inspect", "--format", "{{json .HostConfig.PortBindings}}"),
        *(one.id for one in containers.values()),
        deadline_s=30,
    )
    addresses = {
        bound["HostIp"]
        for line in bindings.splitlines()
        for ports in (json.loads(line) or {}).values()
        for bound in ports
    }
    assert addresses == {LOOPBACK}


@pytest.mark.parametrize("service", ["api", "worker", "relay"])
def test_a_process_has_no_privilege_to_lose(stack: UserStack, service: str) -> None:
    (container,) = stack.containers(service)
    (description,) = json.loads(docker("container", "inspect", container.id, deadline_s=30))
    assert description["Config"]["User"] == "10001:10001"
    host = description["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert not [e for e in description["Config"]["Env"] if stack.drawn.passwords["POSTGRES"] in e]


def test_the_platform_is_no_superuser_of_its_database(stack: UserStack) -> None:
    roles = stack.compose(
        *("exec", "-T", "postgres", "psql", "-U", "postgres", "-Atc"),
        "select rolname, rolsuper from pg_roles where rolname in ('task_platform', 'exporter')",
    )
    assert sorted(roles.split()) == ["exporter|f", "task_platform|f"]


def test_a_good_task_succeeds_and_its_key_is_honoured(stack: UserStack) -> None:
    headers = {"Idempotency-Key": "demo-1"}
    first = httpx.post(f"{stack.api}/tasks", json=SUM, headers=headers, timeout=10)
    assert first.status_code == 201
    assert stack.wait_state(first.json()["id"], "SUCCEEDED")["result"] == {"sum": 15}
    again = httpx.post(f"{stack.api}/tasks", json=SUM, headers=headers, timeout=10)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_task_nobody_has_a_handler_for_is_dead_lettered_after_its_attempts(
    stack: UserStack,
) -> None:
    task = stack.submit(NOBODYS)
    assert stack.wait_state(task, "FAILED")["attempts"] == 3
    wait_until(lambda: stack.queue("tasks.dlq")["messages_ready"] == 1, "a dead letter")
    assert task in dlq(stack, "list")


def test_each_process_shows_its_metrics(stack: UserStack) -> None:
    api = httpx.get(f"{stack.api}/metrics", timeout=10).text
    assert 'api_tasks_accepted_total{outcome="created"} 2.0' in api
    worker = stack.metrics_inside("worker", 9101)
    assert 'worker_tasks_processed_total{task_type="sum"} 1.0' in worker
    assert 'worker_tasks_failed_total{task_type="unknown"} 1.0' in worker
    assert 'worker_tasks_retried_total{task_type="unknown"} 2.0' in worker
    assert "relay_backlog_tasks" in stack.metrics_inside("relay", 9101)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(worker_tasks_processed_total)", 1),
        ("sum(worker_tasks_failed_total)", 1),
        ("sum(worker_tasks_retried_total)", 2),
        ('sum(up{job="worker"})', 1),
        ('rabbitmq_queue_messages_ready{queue="tasks"}', 0),
        ('rabbitmq_queue_messages_ready{queue="tasks.dlq"}', 1),
        ('rabbitmq_queue_consumers{queue="tasks"}', 1),
        ("pg_up", 1),
    ],
)
def test_prometheus_answers_what_the_walk_asks(
    stack: UserStack, query: str, expected: float
) -> None:
    wait_until(lambda: stack.value(query) == expected, f"{query} = {expected}", DEADLINE_S)


def test_every_target_is_up_and_found_by_name(stack: UserStack) -> None:
    targets = stack.targets()
    assert set(targets.values()) == {"up"}
    jobs = {one["metric"]["job"] for one in stack.ask("up")}
    assert jobs == {"api", "worker", "relay", "rabbitmq", "postgres", "prometheus"}
    answer = httpx.get(f"{stack.prometheus}/api/v1/status/config", timeout=10)
    config = answer.raise_for_status().json()["data"]["yaml"]
    for name in ("api", "worker", "relay"):
        assert f"- {name}.\n" in config.partition("dns_sd_configs")[2]


def test_scaling_needs_no_restart_of_prometheus(stack: UserStack) -> None:
    before = stack.started_at("prometheus")
    others = stack.started_at("api") + stack.started_at("postgres")
    stack.compose(
        *("up", "-d", "--no-deps", "--no-recreate", "--scale", "worker=3", "worker"),
    )
    wait_until(lambda: workers_up(stack) == 3, "three workers to be scraped", DEADLINE_S)
    assert stack.started_at("prometheus") == before
    assert stack.started_at("api") + stack.started_at("postgres") == others


def test_obs03_every_replica_is_counted(stack: UserStack) -> None:
    """The original's own form of scaling, which makes every worker anew."""
    stack.compose("up", "-d", "--force-recreate", "--no-deps", "--scale", "worker=5", "worker")
    wait_until(
        lambda: set(stack.targets("worker").values()) == {"up"} and workers_up(stack) == 5,
        "five workers to be scraped",
        DEADLINE_S,
    )
    assert {one.address for one in stack.containers("worker")} == {
        httpx.URL(url).host for url in stack.targets("worker")
    }
    stack.submit_many({"task_type": "sleep", "payload": {"seconds": 0.02}}, 500)
    slept = 'worker_tasks_processed_total{job="worker",task_type="sleep"}'
    wait_until(lambda: stack.value(f"sum({slept})") == 500, "500 tasks to be counted", DEADLINE_S)
    shares = [float(one["value"][1]) for one in stack.ask(slept)]
    assert len(shares) == 5
    assert min(shares) > 0


def test_series_of_workers_that_are_gone_do_not_linger(stack: UserStack) -> None:
    stack.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", "worker=1", "worker")
    assert len(stack.containers("worker")) == 1
    wait_until(
        lambda: stack.value("count(worker_slots)") == 1 and len(stack.ask('up{job="worker"}')) == 1,
        "one worker's series",
        DEADLINE_S,
    )


def test_obs01_several_apis_never_make_a_counter_fall(stack: UserStack) -> None:
    before = stack.value("sum(api_tasks_accepted_total)") or 0
    stack.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", "api=4", "api")
    wait_until(lambda: list(stack.targets("api").values()) == ["up"] * 4, "four APIs", DEADLINE_S)
    wait_until(lambda: all(map(answers, stack.api_ports)), "four APIs to answer", DEADLINE_S)
    began = time.monotonic()
    seen: list[float] = []
    created = "sum(api_tasks_accepted_total)"
    with ExitStack() as clients:
        apis = [clients.enter_context(client(port)) for port in stack.api_ports]
        for index in range(1_000):
            assert apis[index % 4].post("/tasks", json=SUM).status_code == 201
            if index % 50 == 0:
                seen.append(stack.value(created) or 0)
    wait_until(
        lambda: stack.value(created) == before + 1_000, "1,000 submissions counted", DEADLINE_S
    )
    assert seen == sorted(seen)
    # An address may have been another API's before.
    since = f"[{math.ceil(time.monotonic() - began)}s]"
    assert stack.value(f"sum(resets(api_tasks_accepted_total{since}))") == 0


def test_a_dead_letter_is_replayed_as_a_new_task(stack: UserStack) -> None:
    (dead,) = json.loads(dlq(stack, "list", "--json"))["dead_letters"]
    dlq(stack, "replay", dead["task_id"])
    wait_until(lambda: stack.has_none("QUEUED", "PROCESSING"), "the replay to fail as well")
    (fresh,) = json.loads(dlq(stack, "list", "--json"))["dead_letters"]
    assert stack.task(fresh["task_id"])["replay_of"] == dead["task_id"]
    wait_until(lambda: stack.queue("tasks.dlq")["messages_ready"] == 1, "its dead letter")


def test_wk08_a_stopped_worker_drains_before_it_is_killed(stack: UserStack) -> None:
    task = stack.submit({"task_type": "sleep", "payload": {"seconds": 5}})
    stack.wait_state(task, "PROCESSING")
    (worker,) = stack.containers("worker")
    stack.compose("stop", "worker")
    (stopped,) = stack.project.containers("worker")
    assert (stopped.id, stopped.state, stopped.exit_code) == (worker.id, "exited", 0)
    assert stack.task(task)["state"] == "SUCCEEDED"
    assert stack.task(task)["attempts"] == 1
    logs = stack.compose("logs", "--no-color", "worker")
    assert "draining" in logs
    stack.compose("start", "worker")


def test_a_stack_that_was_taken_down_comes_up_again_with_its_tasks(stack: UserStack) -> None:
    task = stack.submit(SUM)
    stack.wait_state(task, "SUCCEEDED")
    ours = ComposeStack({**stack.variables, "COMPOSE_PROJECT_NAME": stack.project.name})
    stack.compose("stop", "api")
    state = ours.read_state()
    assert state
    assert "api_url" not in state["endpoints"]
    assert ours.down()
    assert ours.read_state() is None
    assert not ours.down()

    state = ours.up(workers=2)
    assert (len(state["workers"]), state["unhealthy"]) == (2, [])
    assert state["log_ins"]["rabbitmq_ui"]["password"] == stack.drawn.passwords["RABBITMQ"]
    stack.api = state["endpoints"]["api_url"]
    assert stack.task(task)["state"] == "SUCCEEDED"


def dlq(stack: UserStack, *arguments: str) -> str:
    return stack.compose("exec", "-T", "api", "task-platform", "dlq", *arguments)


def client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=10)


def answers(port: int) -> bool:
    with client(port) as api:
        return api.get("/readyz").is_success
