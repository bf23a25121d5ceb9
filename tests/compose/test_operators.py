"""What those who run the platform see of it: alerts that come and go, dashboards that are filled.

The tests share one stack and stand in the order in which things happen to it. An alert counts as
raised once its condition holds; how long it must hold is tried in tests of the rules alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..dashboards import ask, by_panel, draw
from ..engine import COMPOSE
from .stack import NOBODYS, SUM, UserStack, wait_until

pytestmark = COMPOSE

DEADLINE_S = 60.0
# What a person is to look at: every panel, drawn from what this very stack has answered.
PICTURES = os.environ.get("TASK_LAB_PANELS", "")


class Load:
    """A trickle of all kinds of tasks for as long as the tests last, whatever is done to them."""

    def __init__(self, stack: UserStack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.began = time.time()
        self.problems: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        sleep = {"task_type": "sleep", "payload": {"seconds": 0.1}}
        flaky = {"task_type": "flaky", "payload": {"failures": 1}}
        mixed = [*[SUM] * 10, *[sleep] * 4, flaky, {**NOBODYS, "max_retries": 0}]
        with httpx.Client(base_url=self._stack.api, timeout=30) as client:
            while not self._over.wait(0.2):
                for task in mixed:
                    answer = client.post("/tasks", json=task)
                    if answer.status_code != 201:
                        self.problems.append(answer.text)


@pytest.fixture(scope="module")
def load(stack: UserStack) -> Iterator[Load]:
    load = Load(stack)
    load.start()
    yield load
    load.stop()


def raised(stack: UserStack, name: str) -> None:
    wait_until(lambda: name in stack.alerts(), f"the alert {name}", DEADLINE_S)


def silent(stack: UserStack, name: str) -> None:
    wait_until(lambda: name not in stack.alerts(), f"the end of the alert {name}", DEADLINE_S)


def told(stack: UserStack) -> set[str]:
    """The alerts that Alertmanager knows of now."""
    found = httpx.get(f"{stack.alertmanager}/api/v2/alerts", timeout=10).raise_for_status().json()
    return {one["labels"]["alertname"] for one in found}


def hold_effects(stack: UserStack, seconds: float) -> None:
    """Lock the table that handlers of `effect` write, so that they keep their connections."""
    psql(stack, f"begin; lock table effect_log; select pg_sleep({seconds}); commit")


def effects_are_held(stack: UserStack) -> bool:
    held = "relation = 'effect_log'::regclass and mode = 'AccessExclusiveLock' and granted"
    return psql(stack, f"select count(*) from pg_locks where {held}").strip() == "1"


def psql(stack: UserStack, statements: str) -> str:
    options = ("-U", "postgres", "-d", "task_platform", "-Atc")
    return stack.compose("exec", "-T", "postgres", "psql", *options, statements)


def test_a_fresh_stack_is_silent_and_its_rules_are_loaded(stack: UserStack) -> None:
    wait_until(lambda: set(stack.targets().values()) == {"up"}, "every target to be up")
    groups = httpx.get(f"{stack.prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    wait_until(lambda: stack.alerts() == {}, "no alert")
    assert [
        rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"
    ] == []
    found = httpx.get(f"{stack.prometheus}/api/v1/alertmanagers", timeout=10).json()["data"]
    assert len(found["activeAlertmanagers"]) == 1


def test_br15_a_broker_alarm_holds_up_nobody_but_the_relay(stack: UserStack, load: Load) -> None:
    ctl = ("exec", "-T", "-u", "rabbitmq", "rabbitmq", "rabbitmqctl", "set_disk_free_limit")
    stack.compose(*ctl, "100000GB")
    raised(stack, "BrokerAlarm")
    began = time.monotonic()
    tasks = [stack.submit(SUM) for _ in range(20)]
    assert time.monotonic() - began < 10
    # It pages: whoever is to be told has been.
    wait_until(lambda: "BrokerAlarm" in told(stack), "the page", DEADLINE_S)
    stack.compose(*ctl, "500MB")
    for task in tasks:
        stack.wait_state(task, "SUCCEEDED", DEADLINE_S)
    silent(stack, "BrokerAlarm")


def test_db05_handlers_that_wait_for_connections_are_told_of(stack: UserStack, load: Load) -> None:
    locked = threading.Thread(target=hold_effects, args=(stack, 6))
    locked.start()
    wait_until(lambda: effects_are_held(stack), "the lock")
    tasks = stack.submit_many({"task_type": "effect", "payload": {"via": "transaction"}}, 12)
    raised(stack, "HandlersWait")
    locked.join()
    for task in tasks:
        assert stack.wait_state(task, "SUCCEEDED", DEADLINE_S)["attempts"] == 1


def test_ob06_a_broker_that_swallows_everything_shows_in_the_outbox(
    stack: UserStack, load: Load
) -> None:
    relay = stack.started_at("relay")
    stack.compose("pause", "rabbitmq")
    try:
        task = stack.submit(SUM)
        raised(stack, "OutboxOld")
        assert httpx.get(f"{stack.api}/healthz", timeout=10).is_success
    finally:
        stack.compose("unpause", "rabbitmq")
    stack.wait_state(task, "SUCCEEDED", DEADLINE_S)
    silent(stack, "OutboxOld")
    assert stack.started_at("relay") == relay


def test_a_worker_that_is_gone_is_told_of(stack: UserStack, load: Load) -> None:
    stack.compose("pause", "worker")
    raised(stack, "JobDown")
    stack.compose("unpause", "worker")
    silent(stack, "JobDown")
    wait_until(lambda: stack.has_none("PROCESSING"), "what it had in its hands", DEADLINE_S)


def test_every_panel_of_every_dashboard_has_data(stack: UserStack, load: Load) -> None:
    # Rules about objectives are evaluated once a minute.
    wait_until(lambda: bool(stack.ask("slo:attempts:budget_remaining_30d")), "a budget", 150)
    load.stop()
    end = time.time()
    empty = []
    for panel in by_panel():
        answers = [ask(stack.prometheus, q, load.began, end, step_s=5) for q in panel]
        empty += [q for q, a in zip(panel, answers, strict=True) if not a and not q.may_be_empty]
        if PICTURES:
            draw(panel, answers, Path(PICTURES))
    assert empty == []
    assert load.problems == []


def test_series_stay_few(stack: UserStack, load: Load) -> None:
    series = stack.value("prometheus_tsdb_head_series") or 0
    assert 0 < series < 6_000
