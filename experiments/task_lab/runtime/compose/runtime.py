"""The compose runtime: reads as the list of what happens, as the native one does."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from task_lab.errors import ProgramFailed, UsageError, did_you_mean
from task_lab.runtime.base import NO_SETTINGS, Endpoints, ProcessSeen, Replica, Server
from task_lab.runtime.compose.containers import Container, inspect
from task_lab.runtime.compose.engine import api_get, docker, require_engine
from task_lab.runtime.compose.files import (
    OPS_PORT,
    LabStack,
    project_name,
    stack_files,
    targets_file,
    write_override,
)
from task_lab.runtime.compose.network import network_cut
from task_lab.runtime.compose.pids import process_groups
from task_lab.runtime.compose.project import ComposeProject
from task_lab.runtime.compose.readiness import READY_WITHIN_S, Readiness
from task_lab.runtime.platform_process import says_ready
from task_lab.runtime.ports import PortPool
from task_lab.runtime.process import run_boots, until

# Those the lab needs; Postgres, RabbitMQ and the migration come with them.
_SERVICES = ("api", "relay", "worker", "redis", "prometheus")
_ACT_S = 60.0
_KILLED = 128 + signal.SIGKILL


class ComposeRuntime:
    """A `Runtime` made of containers, in a compose project of this checkout's lab alone.

    folder: receives `logs/`, which stays, and the files that the lab adds to the stack's.
    """

    name = "compose"

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._logs = self._folder / "logs"
        self._ports = PortPool()
        self._stack: LabStack | None = None
        self._project: ComposeProject | None = None
        self._readiness: Readiness | None = None

    @property
    def project(self) -> ComposeProject:
        """The running project. Raises `UsageError` before `up` and after `down`."""
        if self._project is None:
            raise UsageError("the stack is not up: call up() first")
        return self._project

    def up(self, *, workers: int = 0, settings: Mapping[str, str] = NO_SETTINGS) -> Endpoints:
        """Build, create and start everything; see `Runtime.up`. On any error nothing is left."""
        if self._project is not None:
            raise UsageError("this runtime is already up")
        require_engine()
        self._logs.mkdir(parents=True, exist_ok=True)
        stack = self._stack = LabStack.drawn(self._ports)
        files = [*stack_files(), write_override(self._folder, stack, settings)]
        try:
            self._project = ComposeProject(project_name(), files, stack.variables(), self._logs)
        except BaseException:
            self._ports.close()
            raise
        self._readiness = Readiness(self._project, stack.endpoints(), targets_file(self._folder))
        try:
            self._project.up("--scale", f"worker={workers}", *_SERVICES)
            self._ready.wait(workers)
        except ProgramFailed as error:
            # Compose says that a container failed; what it itself said is worth more.
            failure = self._project.first_failure() or error
            self.down()
            raise failure from None
        except BaseException:
            self.down()
            raise
        return self.endpoints()

    def endpoints(self) -> Endpoints:
        """Where the stack answers; see `Endpoints`."""
        assert self._stack is not None
        return self._stack.endpoints()

    def scale(self, workers: int) -> list[Replica]:
        """Run exactly so many workers; see `Runtime.scale`. The oldest stay."""
        if workers < 0:
            raise UsageError(f"cannot run {workers} workers")
        self._remove([one for one in self._workers() if one.has_ended])
        self._drain(self._workers()[workers:])
        scaled = ("--scale", f"worker={workers}", "worker")
        self.project.run("up", "--detach", "--no-deps", "--no-recreate", *scaled)
        self._ready.wait(workers)
        return self.replicas()

    def replicas(self) -> list[Replica]:
        """The workers running now, oldest first."""
        if self._project is None:
            return []
        return [_replica(one) for one in self._workers() if one.is_running]

    def pause_workers(self) -> None:
        """Freeze all workers."""
        self._tell_workers("pause")

    def resume_workers(self) -> None:
        """Let all frozen workers go on."""
        self._tell_workers("unpause", state="paused")

    def kill_worker(self, replica: Replica) -> None:
        """Kill one worker, for good: the restart policy does not bring back whom people kill.

        Raises `UsageError` if it is not one of ours or has ended.
        """
        self._kill(self._worker(replica))

    def crash_worker(self, replica: Replica) -> Replica:
        """End one worker from inside, as a crash would; returns it as the restart policy did.

        It has the same name, another process and, to the outside, another port.
        """
        container = self._worker(replica)
        # All processes of the container but its first one, which follows its only child.
        docker("exec", container.id, "bash", "-c", "kill -9 -1 || true", deadline_s=_ACT_S)

        def is_back() -> bool:
            (now,) = inspect([container.id])
            return now.pid not in (0, container.pid) and says_ready(now.url(OPS_PORT))

        run_boots(until(is_back, what=f"the return of {replica.name}", deadline_s=READY_WITHIN_S))
        self._ready.announce_targets()
        return _replica(*inspect([container.id]))

    def process(self, name: str) -> ProcessSeen:
        """One process of the platform as it is now; see `Runtime.process`."""
        one = self._named(name)
        if one.state == "paused":
            return ProcessSeen(one.name, one.pid, "frozen")
        return ProcessSeen(one.name, one.pid, "running" if one.is_running else "ended")

    def kill(self, name: str) -> None:
        """Kill that process; it stays away until `start`."""
        self._kill(self._named(name))

    def start(self, name: str) -> None:
        """Start that process again and wait until it is ready."""
        self._start(self._named(name))
        # Its container may have another address now.
        self._ready.announce_targets()

    def freeze(self, name: str) -> None:
        """Stop that process in the middle of whatever it does."""
        docker("pause", self._named(name).id, deadline_s=_ACT_S)

    def thaw(self, name: str) -> None:
        """Let that process go on."""
        docker("unpause", self._named(name).id, deadline_s=_ACT_S)

    @contextmanager
    def cut_off(self, server: Server) -> Iterator[str]:
        """Take a server off the network for the time of the block; see `network_cut`."""
        with self.network_cut("postgres" if server == "database" else "rabbitmq"):
            yield "docker network disconnect"

    def stop_broker(self) -> None:
        """Stop RabbitMQ in order; its data stays."""
        self._stop("rabbitmq")

    def start_broker(self) -> None:
        """Start RabbitMQ again on the same data and address."""
        self._start(self._one("rabbitmq"))

    def stop_database(self, *, immediate: bool = False) -> None:
        """Stop PostgreSQL, in order or as in a crash; its data stays."""
        if immediate:
            self.project.run("kill", "--signal", "SIGQUIT", "postgres")
            run_boots(
                until(
                    lambda: not self._one("postgres").is_running,
                    what="the end of postgres",
                    deadline_s=_ACT_S,
                )
            )
        else:
            self._stop("postgres")

    def start_database(self) -> None:
        """Start PostgreSQL again on the same data and address."""
        self._start(self._one("postgres"))

    def stop_api(self) -> None:
        """Let the API drain and end."""
        self._stop("api")

    def start_api(self) -> None:
        """Start the API again at the same address."""
        self.start("api")

    def network_cut(self, service: str) -> AbstractContextManager[list[Container]]:
        """Take the running containers of a service off the network; see `network_cut`."""
        return network_cut(self.project, service, self._ready.announce_targets)

    def memory_stats(self) -> dict[str, dict[str, Any]]:
        """The engine's raw `memory_stats` of each running container, by its name."""
        running = [one for one in self.project.containers() if one.is_running]
        # Without `one-shot` each answer would wait for a second look, to tell the CPU share.
        paths = [f"/containers/{one.id}/stats?stream=false&one-shot=true" for one in running]
        answers = zip(running, api_get(*paths), strict=True)
        return {one.name: stats["memory_stats"] for one, stats in answers}

    def process_groups(self) -> dict[str, list[int]]:
        """The first process of each container that runs on this host; see `Runtime`."""
        project = self._project
        return process_groups(project.containers()) if project else {}

    def logs_dir(self) -> Path:
        """One log a container, as of now; stays when the stack goes."""
        if self._project is not None:
            self._project.keep_logs(self._project.containers())
        return self._logs

    def down(self) -> None:
        """Stop all containers and delete them and their data."""
        if self._project is None:
            return
        project, self._project = self._project, None
        try:
            project.keep_logs(project.containers())
        finally:
            try:
                project.remove()
            finally:
                project.close()
                self._ports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def _ready(self) -> Readiness:
        assert self._readiness is not None
        return self._readiness

    def _workers(self) -> list[Container]:
        return self.project.containers("worker")

    def _worker(self, replica: Replica) -> Container:
        for container in self._workers():
            if container.is_running and _replica(container) == replica:
                return container
        raise UsageError(f"no running worker {replica.name} with process id {replica.pid}")

    def _named(self, name: str) -> Container:
        workers = {f"worker-{n}": one for n, one in enumerate(self._workers(), 1)}
        known = {**workers, "relay": self._one("relay"), "api": self._one("api")}
        if name not in known:
            raise UsageError(f"no process {name!r} runs{did_you_mean(name, known)}")
        return known[name]

    def _one(self, service: str) -> Container:
        (container,) = self.project.containers(service)
        return container

    def _tell_workers(self, verb: str, *, state: str = "running") -> None:
        if ids := [one.id for one in self._workers() if one.state == state]:
            docker(verb, *ids, deadline_s=_ACT_S)

    def _drain(self, surplus: list[Container]) -> None:
        """Let workers drain and end, side by side, keep their logs, and let them go.

        Raises ProgramFailed if one had to be killed, because it did not end in time.
        """
        if surplus:
            ids = [one.id for one in surplus]
            docker("stop", *ids, deadline_s=_ACT_S)
            for ended in inspect(ids):
                if ended.exit_code == _KILLED:
                    raise self.project.failure_of(ended)
            self._remove(surplus)

    def _remove(self, ended: list[Container]) -> None:
        self.project.keep_logs(ended)
        if ended:
            docker("rm", *(one.id for one in ended), deadline_s=_ACT_S)

    def _stop(self, service: str) -> None:
        self.project.run("stop", service)

    def _kill(self, container: Container) -> None:
        docker("kill", container.id, deadline_s=_ACT_S)
        run_boots(
            until(
                lambda: not inspect([container.id])[0].is_running,
                what=f"the end of {container.name}",
                deadline_s=_ACT_S,
            )
        )

    def _start(self, container: Container) -> None:
        if container.is_running:
            raise UsageError(f"{container.name} is running already")
        # Not compose's `start`: it would start, and wait for, whatever the service depends on.
        docker("start", container.id, deadline_s=_ACT_S)
        run_boots(
            until(
                lambda: self._ready.answers(*inspect([container.id])),
                what=f"{container.name} to answer",
                deadline_s=READY_WITHIN_S,
            )
        )


def _replica(container: Container) -> Replica:
    return Replica(name=container.name, pid=container.pid, ops_url=container.url(OPS_PORT))
