"""docker-compose.yml, brought up with the commands of the README; only names and ports differ."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from task_lab.runtime.compose.containers import Container
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.compose.files import LabStack, project_name, stack_files
from task_lab.runtime.compose.project import ComposeProject
from task_lab.runtime.ports import LOOPBACK, PortPool, is_free
from task_lab.runtime.process import run_boots, until

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2, 3, 4, 5]}}
NOBODYS = {"task_type": "nope", "payload": {"x": 1}, "max_retries": 2}


class UserStack:
    """The stack with all its services, the alerting profile included, on ports that are free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = PortPool()
        self.drawn = LabStack.drawn(self._ports)
        # A range of ports, so that the API can be scaled; the first API takes any one of them.
        self.api_ports = _neighbours(self._ports, 4)
        self.alertmanager_port = self._ports.take()
        self.api = ""
        self.prometheus = f"http://{LOOPBACK}:{self.drawn.ports['prometheus']}"
        self.alertmanager = f"http://{LOOPBACK}:{self.alertmanager_port}"
        self.rabbitmq_ui = f"http://{LOOPBACK}:{self.drawn.ports['rabbitmq_ui']}"
        variables = {
            **self.drawn.variables(),
            "API_PORT": f"{self.api_ports[0]}-{self.api_ports[-1]}",
            "ALERTMANAGER_PORT": str(self.alertmanager_port),
            "GRAFANA_PORT": str(self._ports.take()),
            "COMPOSE_PROFILES": "alerting",
        }
        del variables["FINAL_SCRAPE_WAIT_S"]
        self.variables = variables
        name = project_name().replace("-lab-", "-test-")
        self.project = ComposeProject(name, stack_files(), variables, folder)

    def __enter__(self) -> Self:
        try:
            self.compose("up", "-d", "--build")
            wait_until(self.is_healthy, "every service to be healthy", 90)
            (api,) = self.containers("api")
            self.api = api.url(8000)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down, with its data."""
        try:
            self.project.keep_logs(self.project.containers())
            self.project.remove()
        finally:
            self.project.close()
            self._ports.close()

    def compose(self, *arguments: str) -> str:
        """Run `docker compose …`; returns what it prints."""
        return self.project.run(*arguments)

    def containers(self, service: str) -> list[Container]:
        """The running containers of a service."""
        return [one for one in self.project.containers(service) if one.is_running]

    def is_healthy(self) -> bool:
        """Whether every container is healthy, or has done its one job."""
        containers = self.project.containers()
        return all(one.is_healthy or one.service == "migrate" for one in containers)

    def submit(self, task: Mapping[str, Any], *, api: str = "") -> str:
        """Submit a task; returns its id."""
        answer = httpx.post(f"{api or self.api}/tasks", json=task, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def submit_many(self, task: Mapping[str, Any], count: int) -> list[str]:
        """Submit a task so often, in one batch; returns the ids."""
        answer = httpx.post(f"{self.api}/tasks/batch", json={"tasks": [task] * count}, timeout=30)
        assert answer.is_success, answer.text
        return [one["task"]["id"] for one in answer.json()["items"]]

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as the API shows it."""
        answer = httpx.get(f"{self.api}/tasks/{task_id}", timeout=10)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def wait_state(self, task_id: str, state: str, deadline_s: float = 30) -> dict[str, Any]:
        """The task, once it is in that state."""
        wait_until(lambda: self.task(task_id)["state"] == state, f"a task {state}", deadline_s)
        return self.task(task_id)

    def has_none(self, *states: str) -> bool:
        """Whether no task is in one of these states."""
        for state in states:
            answer = httpx.get(f"{self.api}/tasks", params={"state": state, "limit": 1}, timeout=10)
            if answer.raise_for_status().json()["items"]:
                return False
        return True

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The instant vector that PromQL gives now."""
        url = f"{self.prometheus}/api/v1/query"
        answer = httpx.get(url, params={"query": query}, timeout=10)
        result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return result

    def value(self, query: str) -> float | None:
        """The only value of a query; None while there is none."""
        series = self.ask(query)
        assert len(series) <= 1, series
        return float(series[0]["value"][1]) if series else None

    def targets(self, job: str = "") -> dict[str, str]:
        """The health of each target that Prometheus scrapes, by its address."""
        answer = httpx.get(f"{self.prometheus}/api/v1/targets?state=active", timeout=10)
        found = answer.raise_for_status().json()["data"]["activeTargets"]
        return {
            one["scrapeUrl"]: one["health"] for one in found if job in ("", one["labels"]["job"])
        }

    def alerts(self) -> dict[str, str]:
        """The state, pending or firing, of each alert that is not inactive."""
        answer = httpx.get(f"{self.prometheus}/api/v1/alerts", timeout=10)
        found = answer.raise_for_status().json()["data"]["alerts"]
        return {one["labels"]["alertname"]: one["state"] for one in found}

    def queue(self, name: str) -> dict[str, Any]:
        """A queue, as the page of the broker shows it."""
        credentials = f"task_platform:{self.drawn.passwords['RABBITMQ']}"
        basic = "Basic " + base64.b64encode(credentials.encode()).decode()
        url = f"{self.rabbitmq_ui}/api/queues/%2F/{name}"
        answer = httpx.get(url, headers={"Authorization": basic}, timeout=10)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def metrics_inside(self, service: str, port: int) -> str:
        """What a process shows at /metrics, asked from within its own container."""
        url = f"http://127.0.0.1:{port}/metrics"
        code = f"import urllib.request as u; print(u.urlopen('{url}').read().decode())"
        return self.compose("exec", "-T", service, "python", "-c", code)

    def started_at(self, service: str) -> list[str]:
        """Ids of a service's containers and the times of their start."""
        ids = [one.id for one in self.containers(service)]
        return docker(
            *("container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}"),
            *ids,
            deadline_s=30,
        ).splitlines()


def wait_until(is_done: Callable[[], bool], what: str, deadline_s: float = 30) -> None:
    """Wait for an event; anything that does not answer yet counts as not done."""

    def is_so() -> bool:
        try:
            return is_done()
        except (httpx.HTTPError, json.JSONDecodeError):
            return False

    run_boots(until(is_so, what=what, deadline_s=deadline_s))


def _neighbours(pool: PortPool, count: int) -> list[int]:
    """So many free ports, one after the other."""
    while True:
        first = pool.take()
        ports = [first + step for step in range(count)]
        if all(is_free(port) for port in ports):
            return ports
