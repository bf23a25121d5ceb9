"""What an experiment may ask of a running stack, whatever brought it up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Protocol, Self

ProcessState = Literal["running", "frozen", "ended"]
Server = Literal["broker", "database"]

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the stack answers; an empty string for a part that was not started.

    The database and broker addresses hold passwords: never print or store them.
    """

    api_url: str = ""
    database_url: str = ""
    amqp_url: str = ""
    prometheus_url: str = ""
    redis_url: str = ""
    rabbitmq_metrics_url: str = ""

    def __repr__(self) -> str:
        return (
            f"Endpoints(api_url={self.api_url!r}, prometheus_url={self.prometheus_url!r}, "
            f"rabbitmq_metrics_url={self.rabbitmq_metrics_url!r}, …)"
        )


@dataclass(frozen=True, slots=True)
class Replica:
    """One running worker, which Prometheus knows by its name as `instance`.

    ops_url serves its /readyz and /metrics.
    """

    name: str
    pid: int
    ops_url: str


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """A process of the platform as it is now. name: as Prometheus knows it; pid: its last one, 0
    where the runtime forgets those of the dead."""

    name: str
    pid: int
    state: ProcessState


class Runtime(Protocol):
    """A stack that can be brought up, scaled, disturbed and taken down again.

    Every call blocks until what it promises is true, or raises `RuntimeUnavailable`.
    Use it as a context manager: leaving the block, however, takes the stack down.
    """

    name: str

    def up(self, *, workers: int = 0, settings: Mapping[str, str] = NO_SETTINGS) -> Endpoints:
        """Start everything; returns when the API, the relay and all workers are ready.

        settings: more TASK_PLATFORM_* variables for the platform's processes.
        """

    def endpoints(self) -> Endpoints:
        """Where the stack answers."""

    def scale(self, workers: int) -> list[Replica]:
        """Run exactly `workers` workers, at least 0.

        Returns when all are ready, the queue has as many consumers, and Prometheus scrapes exactly
        these. Workers no longer wanted drain first. Frozen workers must be resumed before.
        """

    def replicas(self) -> list[Replica]:
        """The workers that are meant to run now, oldest first."""

    def pause_workers(self) -> None:
        """Freeze all workers in the middle of whatever they do (SIGSTOP)."""

    def resume_workers(self) -> None:
        """Let frozen workers go on (SIGCONT)."""

    def kill_worker(self, replica: Replica) -> None:
        """Kill one worker with no chance to clean up; it is not replaced until `scale`."""

    def stop_broker(self) -> None:
        """Stop RabbitMQ; its data stays."""

    def start_broker(self) -> None:
        """Start RabbitMQ again on the same data and address."""

    def stop_database(self, *, immediate: bool = False) -> None:
        """Stop PostgreSQL, in order or as in a crash (no checkpoint); its data stays."""

    def start_database(self) -> None:
        """Start PostgreSQL again on the same data and address."""

    def stop_api(self) -> None:
        """Let the API drain and end."""

    def start_api(self) -> None:
        """Start the API again at the same address."""

    def process(self, name: str) -> ProcessSeen:
        """One process of the platform: `api`, `relay`, or `worker-N`, the Nth of those meant to
        run, oldest first, dead ones included. Raises `UsageError` where there is none such.
        """

    def kill(self, name: str) -> None:
        """Kill that process with no chance to clean up; it stays away until `start`."""

    def start(self, name: str) -> None:
        """Start that process again after its end; returns when it says that it is ready."""

    def freeze(self, name: str) -> None:
        """Stop that process in the middle of whatever it does."""

    def thaw(self, name: str) -> None:
        """Let that process go on."""

    def cut_off(self, server: Server) -> AbstractContextManager[str]:
        """Let nobody reach a server for the time of the block, while it keeps what it has.

        Open connections do not break: nothing answers on them any more. Yields by which means.
        """

    def process_groups(self) -> dict[str, list[int]]:
        """Process ids of what runs on this host now, by part: its first process, not its children.

        Parts: `api`, `relay`, each worker by its name, and each server. Empty before `up`, after
        `down`, and for containers of another host. Any thread may ask.
        """

    def logs_dir(self) -> Path:
        """The folder that holds one log for each process; it outlives the stack."""

    def down(self) -> None:
        """Stop everything and delete its data; calling it again does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
