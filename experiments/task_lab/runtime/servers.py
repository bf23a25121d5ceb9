"""The real servers alone, without the platform's processes: what tests and the runtime stand on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from task_lab.errors import UsageError
from task_lab.runtime.base import Endpoints
from task_lab.runtime.instance import NEEDED_BYTES, Instance
from task_lab.runtime.ports import NO_PORTS, PortPool
from task_lab.runtime.postgres import Postgres
from task_lab.runtime.process import Boot, run_boots
from task_lab.runtime.programs import SERVERS, find_programs, unprivileged_user
from task_lab.runtime.prometheus import Prometheus
from task_lab.runtime.rabbitmq import RabbitMQ
from task_lab.runtime.redis import Redis

_Server = TypeVar("_Server", Postgres, RabbitMQ, Redis, Prometheus)


class NativeServers:
    """PostgreSQL, RabbitMQ, Redis and Prometheus as processes of ours, on loopback only.

    folder: where their logs go (`logs/`); made if missing, and left there.
    programs: which servers to start.
    ports: fixed ports by server name; the others get free ones.
    data_root: where data is kept meanwhile, see `Instance`; it is deleted by `stop`.
    """

    def __init__(
        self,
        folder: Path,
        programs: Collection[str] = SERVERS,
        *,
        ports: Mapping[str, int] = NO_PORTS,
        data_root: Path | None = None,
        needed_bytes: int = NEEDED_BYTES,
    ) -> None:
        self.logs = folder.absolute() / "logs"
        self.ports = PortPool(ports)
        self.postgres: Postgres | None = None
        self.rabbitmq: RabbitMQ | None = None
        self.redis: Redis | None = None
        self.prometheus: Prometheus | None = None
        self._wanted = frozenset(programs)
        self._data_root = data_root
        self._needed_bytes = needed_bytes
        self._instance: Instance | None = None

    @property
    def instance(self) -> Instance:
        """The running instance; raises `UsageError` before `start` and after `stop`."""
        if self._instance is None:
            raise UsageError("the servers are not running")
        return self._instance

    def start(self) -> Endpoints:
        """Start the servers side by side; returns when all answer. On any error none is left."""
        try:
            run_boots(*self.prepare().values())
        except BaseException:
            self.stop()
            raise
        return self.endpoints()

    def prepare(self) -> dict[str, Boot]:
        """Check programs, ports and disk, make the data folders; returns a boot for each server.

        For callers that have more to start at the same time; they call `stop` after an error.
        """
        if self._instance is not None:
            raise UsageError("the servers are running already")
        found = find_programs(self._wanted)
        port = {server: self.ports.port_for(server) for server in sorted(self._wanted)}
        instance = self._instance = Instance(self._data_root, needed_bytes=self._needed_bytes)
        self.logs.mkdir(parents=True, exist_ok=True)
        boots: dict[str, Boot] = {}
        if "postgres" in port:
            self.postgres = Postgres(
                instance,
                programs=found,
                port=port["postgres"],
                logs=self.logs,
                user=unprivileged_user(),
            )
            boots["postgres"] = self.postgres.boot()
        if "rabbitmq" in port:
            self.rabbitmq = RabbitMQ(
                instance,
                programs=found,
                port=port["rabbitmq"],
                ports=self.ports,
                logs=self.logs,
            )
            boots["rabbitmq"] = self.rabbitmq.boot()
        if "redis" in port:
            self.redis = Redis(instance, programs=found, port=port["redis"], logs=self.logs)
            boots["redis"] = self.redis.boot()
        if "prometheus" in port:
            self.prometheus = Prometheus(
                instance, programs=found, port=port["prometheus"], logs=self.logs
            )
            metrics_url = self.rabbitmq.metrics_url if self.rabbitmq else ""
            boots["prometheus"] = self.prometheus.boot(metrics_url)
        return boots

    def endpoints(self) -> Endpoints:
        """Where the started servers answer; the database is the server's own `postgres`."""
        return Endpoints(
            database_url=self.postgres.url("postgres") if self.postgres else "",
            amqp_url=self.rabbitmq.url() if self.rabbitmq else "",
            prometheus_url=self.prometheus.url if self.prometheus else "",
            redis_url=self.redis.url if self.redis else "",
            rabbitmq_metrics_url=self.rabbitmq.metrics_url if self.rabbitmq else "",
        )

    def process_groups(self) -> dict[str, list[int]]:
        """The process of each program of the instance that runs now; none while it is not up."""
        return self._instance.process_groups() if self._instance else {}

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database (a copy of `template`, if given); returns its address."""
        return started(self.postgres).create_database(name, template=template)

    def drop_database(self, name: str) -> None:
        """Delete a database, cutting off whoever uses it."""
        started(self.postgres).drop_database(name)

    def create_vhost(self, name: str) -> str:
        """Make an empty virtual host of the broker; returns its address."""
        return started(self.rabbitmq).create_vhost(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all its queues."""
        started(self.rabbitmq).delete_vhost(name)

    def stop(self) -> None:
        """End all servers and delete their data; calling it again does nothing."""
        if self._instance:
            self._instance.close()
        self._instance = None
        self.postgres = self.rabbitmq = self.redis = self.prometheus = None
        self.ports.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def started(server: _Server | None) -> _Server:
    """That server; raises `UsageError` if it is not running."""
    if server is None:
        raise UsageError("that server is not running")
    return server
