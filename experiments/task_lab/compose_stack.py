"""The stack of docker-compose.yml for people: up, where everything answers, down.

Compose itself is the supervisor, and the volumes keep what the stack knows. What is done here can
be done by hand with `docker compose`: this adds the passwords, the waiting and the addresses.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from task_lab.errors import NotReadyInTime, ProgramFailed, RuntimeUnavailable
from task_lab.runtime.compose.containers import Container, containers_of
from task_lab.runtime.compose.engine import docker, engine_problem, require_engine
from task_lab.runtime.compose.files import read_env_file, stack_files
from task_lab.runtime.process import run_boots, until
from task_lab.store import PROJECT

_NAME = "task-platform"
_UP_S = 1_200.0
_DOWN_S = 120.0
_ANSWER_S = 30.0
_HEALTHY_WITHIN_S = 90.0
_LAST_LINES = "5"
_ENV_FILE = PROJECT / ".env"
_MAKE_ENV = PROJECT / "platform" / "docker" / "env.sh"
# Service, port inside, what it is called, and the user and the password of its log-in.
_PAGES = (
    ("api", 8000, "api", None),
    ("prometheus", 9090, "prometheus", None),
    ("alertmanager", 9093, "alertmanager", None),
    ("grafana", 3000, "grafana", ("admin", "GRAFANA_PASSWORD")),
    ("rabbitmq", 15672, "rabbitmq_ui", ("task_platform", "RABBITMQ_PASSWORD")),
)


class ComposeStackFailed(RuntimeUnavailable):
    """The stack did not come up; `reason` is what compose or a container said."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class ComposeStack:
    """The stack of this checkout, as `docker compose` in its folder knows it.

    variables: the environment of compose's commands, before those of .env.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def name(self) -> str:
        """The project's name: COMPOSE_PROJECT_NAME, or the one in the file."""
        return self._variable("COMPOSE_PROJECT_NAME") or _NAME

    def up(self, *, workers: int | None = None, api_port: int | None = None) -> dict[str, Any]:
        """Bring the stack up and wait until everything is healthy; returns its state.

        workers, api_port: as the variables WORKERS and API_PORT say if None.
        Raises NoEngine, ComposeStackFailed.
        """
        require_engine()
        subprocess.run(["bash", str(_MAKE_ENV)], check=True)
        scaled = () if workers is None else ("--scale", f"worker={workers}")
        port = {} if api_port is None else {"API_PORT": str(api_port)}
        try:
            self._compose("up", "--detach", "--build", "--remove-orphans", *scaled, more=port)
        except ProgramFailed as error:
            raise ComposeStackFailed(
                f"{error.log_tail}\nIf images cannot be had: `make compose-engine` builds them on "
                'Debian. Without containers: `make up ARGS="--runtime native"`.'
            ) from error
        self._wait_healthy()
        state = self.read_state()
        assert state is not None
        return state

    def read_state(self) -> dict[str, Any] | None:
        """Where the running stack answers, with log-ins; None where none is running."""
        if engine_problem():
            return None
        containers = [one for one in containers_of(self.name) if one.is_running]
        if not containers:
            return None
        by_service = {one.service: one for one in containers}
        workers = [one for one in containers if one.service == "worker"]
        return {
            "runtime": "compose",
            "project": self.name,
            "endpoints": {
                f"{name}_url": by_service[service].url(port)
                for service, port, name, _ in _PAGES
                if service in by_service
            },
            "log_ins": {
                name: {"user": log_in[0], "password": self._variable(log_in[1])}
                for service, _, name, log_in in _PAGES
                if log_in and service in by_service
            },
            "workers": [{"name": one.name, "pid": one.pid} for one in workers],
            "restarts": {one.name: one.restarts for one in containers if one.restarts},
            "unhealthy": [one.name for one in containers if not one.is_healthy],
        }

    def down(self) -> bool:
        """Stop the stack and remove its containers; its volumes stay. False if there was none."""
        if engine_problem() or not containers_of(self.name):
            return False
        # Whatever its profile: what runs of it is known by its labels.
        command = ("compose", "--project-name", self.name, "down", "--remove-orphans")
        docker(*command, deadline_s=_DOWN_S)
        return True

    def _wait_healthy(self) -> None:
        try:
            run_boots(until(self._is_healthy, what="every service", deadline_s=_HEALTHY_WITHIN_S))
        except NotReadyInTime as error:
            ill = [one for one in containers_of(self.name) if not _is_fine(one)]
            raise ComposeStackFailed(
                f"not healthy within {_HEALTHY_WITHIN_S:.0f} s:\n" + "\n".join(map(_story, ill))
            ) from error

    def _is_healthy(self) -> bool:
        return all(_is_fine(one) for one in containers_of(self.name))

    def _compose(self, *arguments: str, more: Mapping[str, str]) -> None:
        files = [part for file in stack_files() for part in ("--file", str(file))]
        docker(
            *("compose", "--ansi=never", "--progress=quiet", "--project-name", self.name),
            *("--project-directory", str(PROJECT), *files),
            *arguments,
            deadline_s=_UP_S,
            env={**self.variables, **more},
        )

    def _variable(self, name: str) -> str:
        return self.variables.get(name) or read_env_file(_ENV_FILE).get(name, "")


def _is_fine(container: Container) -> bool:
    """Whether it is healthy, or has done its one job."""
    return container.is_healthy or (container.state == "exited" and container.exit_code == 0)


def _story(container: Container) -> str:
    """How it is, and what it said last."""
    said = subprocess.run(
        ["docker", "logs", "--tail", _LAST_LINES, container.id],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_ANSWER_S,
        check=False,
    ).stdout.strip()
    how = f"{container.state} {container.health}".strip()
    return f"{container.name}: {how}, {container.restarts} restarts; its log ends with:\n{said}"
