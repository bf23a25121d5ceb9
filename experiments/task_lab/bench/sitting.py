"""One stack of the bench: real servers and the platform, the load generator, the ledger.

Every group of measurements gets a stack of its own, so that no group finds another's leftovers.
Drains of the platform go by the one clock that all systems here go by: from the release of workers
that stand still, warm and connected, before a full queue, to the last committed result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from task_lab.bench.cpu import CpuMeter
from task_lab.bench.drained import Drained
from task_lab.bench.ledger import BenchLedger, Range, patience_s
from task_lab.bench.measurements import PromisedLess
from task_lab.bench.others import Others
from task_lab.bench.plan import SUM, Workload
from task_lab.collect.loop import LoopThread
from task_lab.load.processes import Generator
from task_lab.load.wire import Load, SenderReport
from task_lab.runtime.base import NO_SETTINGS
from task_lab.runtime.native import NativeRuntime
from task_lab.runtime.servers import started

PROGRAMS = frozenset({"postgres", "rabbitmq"})
BATCH_SIZE = 500
BATCHES_IN_FLIGHT = 4
SINGLES_IN_FLIGHT = 64
WARMUP_TASKS = 2_000

# None of these makes anything less durable. A worker that stands still answers no heartbeats: with
# the default its connection would be cut while a long queue is filled. Nobody scrapes here.
_SETTINGS = MappingProxyType(
    {
        "TASK_PLATFORM_BROKER_HEARTBEAT_S": "600",
        "TASK_PLATFORM_FINAL_SCRAPE_WAIT_S": "0",
    }
)


@dataclass(frozen=True, slots=True)
class PlatformDrain:
    """A drain of the platform, and the CPU seconds it took by part of the stack."""

    drained: Drained
    cpu_s: Mapping[str, float]


class Sitting:
    """A stack that is up between `with` and its end.

    folder: receives the logs. on_end: is told how many cores others used meanwhile.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        settings: Mapping[str, str] = NO_SETTINGS,
        on_end: Callable[[float], None],
    ) -> None:
        self._on_end = on_end
        self._workers = workers
        self._settings = {**_SETTINGS, **settings}
        self._exits = ExitStack()
        self._phases = 0
        self.runtime = NativeRuntime(folder, programs=PROGRAMS)

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.callback(self.runtime.down)
            self.endpoints = self.runtime.up(workers=self._workers, settings=self._settings)
            self.loop = LoopThread()
            exits.callback(self.loop.stop)
            self.ledger = BenchLedger(self.loop, self.endpoints.database_url)
            exits.callback(self.ledger.close)
            self.generator = exits.enter_context(Generator(self.runtime.logs_dir() / "sender.log"))
            if self._workers:
                self.warm_up()
            self._exits = exits.pop_all()
        self._others = Others()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._exits:
            self._on_end(self._others.cores())

    def scale(self, workers: int, warmup: Workload = SUM) -> None:
        """Run exactly so many workers, all of them warm."""
        self.runtime.scale(workers)
        self.warm_up(warmup)

    def warm_up(self, workload: Workload = SUM) -> None:
        """Let the running workers finish some tasks that nobody measures."""
        waits = workload.task_type != SUM.task_type
        tasks = self.submit_bulk(WARMUP_TASKS // 10 if waits else WARMUP_TASKS, workload)
        self.ledger.wait_finished(tasks, workload)

    def submit_bulk(self, tasks: int, workload: Workload = SUM) -> Range:
        """Submit so many tasks in bulk; returns when all of them have reached the broker."""
        report = self.offer(
            tasks, workload, batch_size=min(BATCH_SIZE, tasks), in_flight=BATCHES_IN_FLIGHT
        )
        self.ledger.wait_announced(tasks)
        return accepted(report, tasks)

    def offer(
        self,
        tasks: int,
        workload: Workload = SUM,
        *,
        batch_size: int = 1,
        in_flight: int = SINGLES_IN_FLIGHT,
        schedule_s: Sequence[float] | None = None,
        history: Path | None = None,
    ) -> SenderReport:
        """Let the generator send so many tasks; see `Load`. history: kept by nobody if None."""
        self._phases += 1
        return self.generator.offer(
            Load(
                phase=f"p{self._phases}",
                api_url=self.endpoints.api_url,
                bodies=[workload.body],
                tasks=tasks,
                in_flight=in_flight,
                batch_size=batch_size,
                schedule_s=None if schedule_s is None else list(schedule_s),
                history=str(history or Path("/dev/null")),
                deadline_s=patience_s(tasks),
            )
        )

    def drain(self, tasks: int, workload: Workload = SUM) -> PlatformDrain:
        """Fill the queue while the workers stand still, release them, wait for the last result.

        Raises PromisedLess unless every task succeeded.
        """
        filled = self.fill(tasks, workload)
        meter = self.cpu_meter()
        before = meter.read()
        released_at = self.release()
        ended_at = self.ledger.wait_finished(filled, workload)
        used = spent(before, meter.read())
        return PlatformDrain(Drained(tasks, released_at, ended_at), used)

    def fill(self, tasks: int, workload: Workload = SUM) -> Range:
        """Stop the workers and fill the queue. They stand still until `release`."""
        self.runtime.pause_workers()
        return self.submit_bulk(tasks, workload)

    def release(self) -> float:
        """Let the workers go on; returns when that was, in unix seconds."""
        released_at = time.time()
        self.runtime.resume_workers()
        return released_at

    def pids(self) -> dict[str, list[int]]:
        """Process ids by part of the stack; each may have children."""
        found: dict[str, list[int]] = {
            "generator": [self.generator.pid],
            "api": [],
            "relay": [],
            "worker": [],
            "postgres": [started(self.runtime.servers.postgres).pid],
            "rabbitmq": [started(self.runtime.servers.rabbitmq).pid],
        }
        for process in self.runtime.processes():
            found[process.job].append(process.pid)
        return found

    def cpu_meter(self) -> CpuMeter:
        """A meter of the processes that run now."""
        return CpuMeter(self.pids())


def accepted(report: SenderReport, tasks: int) -> Range:
    """The tasks of a load. Raises PromisedLess unless every one was accepted."""
    if report.accepted != tasks or report.first_id is None or report.last_id is None:
        raise PromisedLess(
            f"of {tasks:,} tasks {report.accepted:,} were accepted: "
            + (", ".join(f"{n} of {what}" for what, n in report.problems.items()) or "no answer")
        )
    return Range(report.first_id, report.last_id, tasks)


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two readings, by part; a process that ended meanwhile takes none back."""
    return {part: max(0.0, after[part] - before.get(part, 0.0)) for part in after}
