"""What an experiment may ask of a running stack, whatever brought it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

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
