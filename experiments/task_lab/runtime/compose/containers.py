"""The containers of one compose project, found by their labels: names differ between versions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from task_lab.runtime.compose.engine import docker
from task_lab.runtime.ports import LOOPBACK

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
_ONEOFF_LABEL = "com.docker.compose.oneoff"
_ANSWER_S = 30.0
_REMOVED_WITHIN_S = 60.0
# How the engine lists each kind of part, in an order in which they can be removed.
_PARTS = {
    "container": ("ps", "--all", "--format", "{{.Names}}"),
    "volume": ("volume", "ls", "--format", "{{.Name}}"),
    "network": ("network", "ls", "--format", "{{.Name}}"),
}
# As many digits of a container's id as people read.
_SHORT = 6


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as the engine described it at one moment.

    address: its IP in the project's network, empty while it has none. ports: published ones, by
    the port inside. health: empty where it has no check. pid: 0 unless it runs.
    """

    id: str
    service: str
    number: int
    image: str
    state: str
    health: str
    exit_code: int
    pid: int
    restarts: int
    address: str
    ports: dict[int, int]

    @property
    def name(self) -> str:
        """See `name_of`."""
        return name_of(self.service, self.number, self.id)

    @property
    def is_running(self) -> bool:
        """Whether it has processes, frozen ones included."""
        return self.state in ("running", "paused")

    @property
    def has_ended(self) -> bool:
        """Whether it has no processes and will not be started again by the engine."""
        return self.state in ("created", "exited", "dead")

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and its own check, if it has one, is passed."""
        return self.state == "running" and self.health in ("", "healthy")

    def url(self, port: int) -> str:
        """Where a published port answers; empty while it is not published."""
        return f"http://{LOOPBACK}:{self.ports[port]}" if port in self.ports else ""


def name_of(service: str, number: int, container_id: str) -> str:
    """Its service; replicas of a worker are told apart, also from those that were before."""
    if service != "worker":
        return service if number == 1 else f"{service}-{number}"
    return f"worker-{number}.{container_id[:_SHORT]}"


def containers_of(project: str, service: str = "") -> list[Container]:
    """The project's containers in whatever state, by service and number; one-off runs excluded."""
    filters = [f"label={PROJECT_LABEL}={project}", f"label={_ONEOFF_LABEL}=False"]
    if service:
        filters.append(f"label={SERVICE_LABEL}={service}")
    options = [part for one in filters for part in ("--filter", one)]
    ids = docker("ps", "--all", "--quiet", "--no-trunc", *options, deadline_s=_ANSWER_S).split()
    return sorted(inspect(ids), key=lambda container: (container.service, container.number))


def inspect(ids: Sequence[str]) -> list[Container]:
    """The containers of these ids."""
    if not ids:
        return []
    answer = docker("container", "inspect", *ids, deadline_s=_ANSWER_S)
    return [_container(description) for description in json.loads(answer)]


def leftovers_of(project: str) -> list[str]:
    """What of the project there is: containers, volumes, networks, each as `kind name`."""
    return [f"{kind} {name}" for kind in _PARTS for name in _parts(project, kind)]


def sweep(project: str) -> None:
    """Remove the project's containers, frozen ones and those off the network too, and its data."""
    for kind in _PARTS:
        if names := _parts(project, kind):
            options = ("--force", "--volumes") if kind == "container" else ()
            docker(kind, "rm", *options, *names, deadline_s=_REMOVED_WITHIN_S)


def _parts(project: str, kind: str) -> list[str]:
    label = ("--filter", f"label={PROJECT_LABEL}={project}")
    return docker(*_PARTS[kind], *label, deadline_s=_ANSWER_S).split()


def _container(description: dict[str, Any]) -> Container:
    labels, state = description["Config"]["Labels"], description["State"]
    settings = description["NetworkSettings"]
    addresses = [one["IPAddress"] for one in settings["Networks"].values() if one["IPAddress"]]
    return Container(
        id=description["Id"],
        service=labels[SERVICE_LABEL],
        number=int(labels[NUMBER_LABEL]),
        image=description["Image"],
        state=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        exit_code=state["ExitCode"],
        pid=state["Pid"],
        restarts=description["RestartCount"],
        address=addresses[0] if addresses else "",
        ports={
            int(inside.partition("/")[0]): int(bound[0]["HostPort"])
            for inside, bound in (settings["Ports"] or {}).items()
            if bound
        },
    )
