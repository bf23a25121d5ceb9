"""Containers off their project's network, and back on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from task_lab.errors import UsageError
from task_lab.runtime.compose.containers import Container
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.compose.project import ComposeProject

_ACT_S = 60.0


@contextmanager
def network_cut(
    project: ComposeProject, service: str, readdressed: Callable[[], None]
) -> Iterator[list[Container]]:
    """Take the running containers of a service off the network for the time of the block.

    Connections to them do not break: nothing answers on them any more.
    readdressed: called when they are back, as they may have other addresses then.
    """
    containers = [one for one in project.containers(service) if one.is_running]
    if not containers:
        raise UsageError(f"no container of {service} is running")
    network = project.network()
    try:
        for one in containers:
            docker("network", "disconnect", network, one.id, deadline_s=_ACT_S)
        yield containers
    finally:
        # Each is brought back, whatever becomes of the others.
        with ExitStack() as healing:
            healing.callback(readdressed)
            for one in containers:
                healing.callback(_reconnect, project, network, one)


def _reconnect(project: ComposeProject, network: str, container: Container) -> None:
    if container.id not in {one.id for one in project.containers(container.service)}:
        return  # removed meanwhile, by `scale` for one
    # Without its aliases nobody would find it by the service's name again.
    options = ("--alias", container.service)
    docker("network", "connect", *options, network, container.id, deadline_s=_ACT_S)
