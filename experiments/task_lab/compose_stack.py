"""The stack of docker-compose.yml for people: up, where everything answers, down.

Compose itself is the supervisor, and the volumes keep what the stack knows. What is done here can
be done by hand with `docker compose`: this adds the passwords, the waiting and the addresses.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from task_lab.errors import LabError, ProgramFailed, RuntimeUnavailable
from task_lab.runtime.compose.containers import Container, containers_of
from task_lab.runtime.compose.engine import docker, engine_problem, require_engine
from task_lab.runtime.compose.files import read_env_file, stack_files
from task_lab.runtime.process import run_boots, until
from task_lab.store import PROJECT

_NAME = "task-platform"
_UP_S = 1_200.0
_DOWN_S = 120.0
_HEALTHY_WITHIN_S = 90.0
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
        super().__init__(
            f"{reason}\nWithout an image registry: `make compose-engine` on Debian. Without "
            'containers: `make up ARGS="--runtime native"`.'
        )


def up(*, workers: int, api_port: int) -> dict[str, Any]:
    """Bring the stack up and wait until everything is healthy; returns its state.

    api_port: the host's. Raises NoEngine, ComposeStackFailed.
    """
    require_engine()
    subprocess.run(["bash", str(_MAKE_ENV)], check=True)
    try:
        _compose(
            *("up", "--detach", "--build", "--remove-orphans", "--scale", f"worker={workers}"),
            api_port=api_port,
        )
        run_boots(until(_is_healthy, what="every service", deadline_s=_HEALTHY_WITHIN_S))
    except LabError as error:
        reason = error.log_tail if isinstance(error, ProgramFailed) else str(error)
        raise ComposeStackFailed(reason) from error
    state = read_state()
    assert state is not None
    return state


def read_state() -> dict[str, Any] | None:
    """Where the running stack answers, with log-ins; None where none is running."""
    if engine_problem():
        return None
    containers = [one for one in containers_of(_NAME) if one.is_running]
    if not containers:
        return None
    by_service = {one.service: one for one in containers}
    workers = [one for one in containers if one.service == "worker"]
    secrets = read_env_file(_ENV_FILE)
    return {
        "runtime": "compose",
        "endpoints": {
            f"{name}_url": by_service[service].url(port)
            for service, port, name, _ in _PAGES
            if service in by_service
        },
        "log_ins": {
            name: {"user": log_in[0], "password": secrets.get(log_in[1], "")}
            for service, _, name, log_in in _PAGES
            if log_in and service in by_service
        },
        "workers": [{"name": one.name, "pid": one.pid} for one in workers],
        "restarts": {one.name: one.restarts for one in containers if one.restarts},
        "unhealthy": [one.name for one in containers if not one.is_healthy],
    }


def down() -> bool:
    """Stop the stack and remove its containers; its volumes stay. False if there was none."""
    if engine_problem() or not containers_of(_NAME):
        return False
    docker("compose", "--project-name", _NAME, "down", "--remove-orphans", deadline_s=_DOWN_S)
    return True


def _compose(*arguments: str, api_port: int) -> None:
    options = ("--ansi=never", "--progress=quiet", "--project-directory", str(PROJECT))
    files = [part for file in stack_files() for part in ("--file", str(file))]
    docker(
        "compose",
        *options,
        *files,
        *arguments,
        deadline_s=_UP_S,
        env={**os.environ, "API_PORT": str(api_port)},
    )


def _is_healthy() -> bool:
    containers = containers_of(_NAME)
    if failed := [one for one in containers if _has_failed(one)]:
        raise ProgramFailed(failed[0].service, failed[0].exit_code, "see its log", None)
    return all(one.is_healthy or one.state == "exited" for one in containers)


def _has_failed(container: Container) -> bool:
    return container.state == "exited" and container.exit_code != 0
