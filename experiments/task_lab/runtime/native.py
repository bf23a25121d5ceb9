"""The native runtime: real servers and the platform's processes, all children of this one.

Reads as the list of what happens: `up`, `scale`, the disturbances, `down`. How each program is run
is told in its own module; how everything ends, whatever happens to us, in `instance`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from task_lab.errors import UsageError, did_you_mean
from task_lab.runtime.base import NO_SETTINGS, Endpoints, ProcessSeen, Replica, Server
from task_lab.runtime.broker_probe import consumer_count
from task_lab.runtime.freezing import freezes, frozen_family, state_of
from task_lab.runtime.instance import NEEDED_BYTES
from task_lab.runtime.platform_process import (
    PlatformProcess,
    migrate,
    platform_variables,
)
from task_lab.runtime.ports import NO_PORTS
from task_lab.runtime.process import Boot, run_boots, until
from task_lab.runtime.programs import SERVERS
from task_lab.runtime.servers import NativeServers, started

DATABASE = "task_platform"
QUEUE = "tasks"

# Prometheus applies new targets on a beat of 5 s and may need two of them.
_SCRAPED_WITHIN_S = 20.0
_CONSUMING_WITHIN_S = 20.0
# Enough to end in order; nothing depends on it, as the data goes too.
_END_WITHIN_S = 5.0


class NativeRuntime:
    """A `Runtime` made of processes on this machine, on loopback only.

    folder: receives `logs/`, one file a process, which stays.
    ports: fixed ports by name (api, postgres, rabbitmq, redis, prometheus); free ones otherwise.
    programs: the servers to start; PostgreSQL and RabbitMQ must be among them.
    apis, relays: how many of each to run; the first API is the one that `Endpoints` names.
    data_root, needed_bytes: see `Instance`.
    """

    name = "native"

    def __init__(
        self,
        folder: Path,
        *,
        ports: Mapping[str, int] = NO_PORTS,
        programs: Collection[str] = SERVERS,
        apis: int = 1,
        relays: int = 1,
        data_root: Path | None = None,
        needed_bytes: int = NEEDED_BYTES,
    ) -> None:
        self._servers = NativeServers(
            folder, programs, ports=ports, data_root=data_root, needed_bytes=needed_bytes
        )
        self._apis_wanted = apis
        self._relays_wanted = relays
        self._variables: dict[str, str] = {}
        self._apis: list[PlatformProcess] = []
        self._relays: list[PlatformProcess] = []
        self._workers: list[PlatformProcess] = []
        self._workers_started = 0

    def up(self, *, workers: int = 0, settings: Mapping[str, str] = NO_SETTINGS) -> Endpoints:
        """Start everything; see `Runtime.up`. On any error nothing is left running."""
        if self._apis:
            raise UsageError("this runtime is already up")
        try:
            self._start(workers, settings)
        except BaseException:
            self.down()
            raise
        return self.endpoints()

    def endpoints(self) -> Endpoints:
        """Where the stack answers; see `Endpoints`."""
        servers = self._servers.endpoints()
        return Endpoints(
            api_url=self._running_api().url,
            database_url=started(self._servers.postgres).url(DATABASE),
            amqp_url=servers.amqp_url,
            prometheus_url=servers.prometheus_url,
            redis_url=servers.redis_url,
            rabbitmq_metrics_url=servers.rabbitmq_metrics_url,
        )

    def scale(self, workers: int) -> list[Replica]:
        """Run exactly so many workers; see `Runtime.scale`. The oldest stay."""
        if workers < 0:
            raise UsageError(f"cannot run {workers} workers")
        self._running_api()
        running = [worker for worker in self._workers if worker.is_running]
        kept, surplus = running[:workers], running[workers:]
        for worker in surplus:
            worker.ask_to_drain()
        for worker in surplus:
            worker.wait_drained()
        fresh = [self._new_worker() for _ in range(workers - len(kept))]
        self._workers = kept + fresh
        self._announce_targets()
        run_boots(*(worker.boot() for worker in fresh))
        run_boots(self._until_consuming(), self._until_scraped())
        return self.replicas()

    def replicas(self) -> list[Replica]:
        """The workers running now, oldest first."""
        return [worker.replica() for worker in self._workers if worker.is_running]

    def pause_workers(self) -> None:
        """Freeze all workers."""
        for worker in self._workers:
            worker.freeze()

    def resume_workers(self) -> None:
        """Let all frozen workers go on."""
        for worker in self._workers:
            worker.thaw()

    def kill_worker(self, replica: Replica) -> None:
        """Kill one worker; raises `UsageError` if it is not one of ours or has ended."""
        for worker in self._workers:
            if worker.is_running and worker.replica() == replica:
                worker.kill()
                return
        raise UsageError(f"no running worker {replica.name} with process id {replica.pid}")

    @property
    def servers(self) -> NativeServers:
        """The servers below the platform."""
        return self._servers

    def processes(self) -> list[PlatformProcess]:
        """Every process of the platform that is meant to run: APIs, relays, workers."""
        return [*self._apis, *self._relays, *self._workers]

    def process(self, name: str) -> ProcessSeen:
        """One process of the platform as it is now; see `Runtime.process`."""
        process = self._named(name)
        return ProcessSeen(process.name, process.pid, state_of(process.pid))

    def kill(self, name: str) -> None:
        """Kill that process; it stays away until `start`."""
        self._named(name).kill()

    def start(self, name: str) -> None:
        """Start that process again, at the same address, and wait until it is ready."""
        run_boots(self._named(name).boot())

    def freeze(self, name: str) -> None:
        """Stop that process in the middle of whatever it does."""
        process = self._named(name)
        process.freeze()
        freezes(process.pid)

    def thaw(self, name: str) -> None:
        """Let that process go on."""
        self._named(name).thaw()

    @contextmanager
    def cut_off(self, server: Server) -> Iterator[str]:
        """Freeze a server for the time of the block: there is no network here to be cut."""
        of_database = server == "database"
        servers = self._servers
        pid = started(servers.postgres).pid if of_database else started(servers.rabbitmq).pid
        with frozen_family(pid) as processes:
            yield (
                f"SIGSTOP to the {processes} processes of the server, as there is no network of"
                " containers to be cut: connections stay open, and nothing answers"
            )

    def process_groups(self) -> dict[str, list[int]]:
        """The process of each program that runs now; see `Runtime.process_groups`."""
        return self._servers.process_groups()

    def stop_broker(self) -> None:
        """Stop RabbitMQ in order; its data stays."""
        started(self._servers.rabbitmq).stop()

    def kill_broker(self) -> None:
        """Kill RabbitMQ with no chance to write anything; its data stays as it was."""
        started(self._servers.rabbitmq).kill()

    def start_broker(self) -> None:
        """Start RabbitMQ again on the same data and address."""
        run_boots(started(self._servers.rabbitmq).boot())

    def stop_database(self, *, immediate: bool = False) -> None:
        """Stop PostgreSQL, in order or as in a crash; its data stays."""
        started(self._servers.postgres).stop(immediate=immediate)

    def start_database(self) -> None:
        """Start PostgreSQL again on the same data and address."""
        run_boots(started(self._servers.postgres).boot())

    def stop_api(self) -> None:
        """Let the API drain and end."""
        api = self._running_api()
        api.ask_to_drain()
        api.wait_drained()

    def start_api(self) -> None:
        """Start the API again at the same address."""
        run_boots(self._running_api().boot())

    def logs_dir(self) -> Path:
        """One log a process; stays when the stack goes."""
        return self._servers.logs

    def down(self) -> None:
        """Drain the platform's processes, end the servers, delete their data."""
        processes = self.processes()
        try:
            for process in processes:
                process.ask_to_drain()
            for process in processes:
                process.wait_ended(grace_s=_END_WITHIN_S)
        finally:
            self._servers.stop()
            self._apis, self._relays, self._workers = [], [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def _start(self, workers: int, settings: Mapping[str, str]) -> None:
        boots = self._servers.prepare()
        self._variables = platform_variables(
            settings,
            database_url=started(self._servers.postgres).url(DATABASE),
            amqp_url=self._servers.endpoints().amqp_url,
        )
        self._workers_started = 0
        self._apis = self._new_processes("api", self._apis_wanted)
        self._relays = self._new_processes("relay", self._relays_wanted)
        self._workers = [self._new_worker() for _ in range(workers)]
        # Known to Prometheus before they run: its slow beat passes while everything boots.
        self._announce_targets()
        postgres = boots.pop("postgres")
        run_boots(self._with_schema(postgres), *boots.values())
        run_boots(*(process.boot() for process in self.processes()))
        run_boots(self._until_consuming(), self._until_scraped())

    def _with_schema(self, postgres: Boot) -> Boot:
        yield from postgres
        self._servers.create_database(DATABASE)
        yield from migrate(self._servers.instance, self._variables, self._servers.logs)

    def _new_processes(self, job: str, count: int) -> list[PlatformProcess]:
        """So many processes of one job; the first has the job's own name."""
        names = [job, *(f"{job}-{number}" for number in range(2, count + 1))]
        return [self._new_process(job, name) for name in names]

    def _new_process(self, job: str, name: str) -> PlatformProcess:
        return PlatformProcess(
            self._servers.instance,
            job=job,
            name=name,
            port=self._servers.ports.port_for(name),
            variables=self._variables,
            logs=self._servers.logs,
        )

    def _new_worker(self) -> PlatformProcess:
        """A worker never started before: neither its name nor its port was used in this run."""
        self._workers_started += 1
        return self._new_process("worker", f"worker-{self._workers_started}")

    def _announce_targets(self) -> None:
        if prometheus := self._servers.prometheus:
            prometheus.set_targets([process.target for process in self.processes()])

    def _until_consuming(self) -> Boot:
        amqp_url = self._servers.endpoints().amqp_url
        wanted = len(self._workers)
        return until(
            lambda: consumer_count(amqp_url, QUEUE) == wanted,
            what=f"{wanted} consumers on queue {QUEUE}",
            deadline_s=_CONSUMING_WITHIN_S,
        )

    def _until_scraped(self) -> Boot:
        """Wait until Prometheus, if it runs, knows exactly our processes and reaches them."""
        prometheus = self._servers.prometheus
        if prometheus is None:
            return
        wanted = {process.name: process.is_running for process in self.processes()}
        yield from until(
            lambda: prometheus.reached() == wanted,
            what=f"Prometheus to scrape exactly {len(wanted)} processes of the platform",
            deadline_s=_SCRAPED_WITHIN_S,
        )

    def _named(self, name: str) -> PlatformProcess:
        workers = {f"worker-{n}": worker for n, worker in enumerate(self._workers, 1)}
        others = {process.name: process for process in [*self._apis, *self._relays]}
        known = {**others, **workers}
        if name not in known:
            raise UsageError(f"no process {name!r} runs{did_you_mean(name, known)}")
        return known[name]

    def _running_api(self) -> PlatformProcess:
        if not self._apis:
            raise UsageError("the stack is not up: call up() first")
        return self._apis[0]
