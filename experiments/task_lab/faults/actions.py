"""How each fault is injected, proven to have bitten, and healed.

An action is a context manager: entering it injects and returns the proof, leaving it heals,
whatever happened in between. Actions block; each runs in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import psutil

from task_lab.faults import services
from task_lab.faults.plan import Fault, Kind
from task_lab.faults.seen import Proof, refused
from task_lab.runtime.freezing import freezes, frozen_family
from task_lab.runtime.native import NativeRuntime
from task_lab.runtime.platform_process import PlatformProcess
from task_lab.runtime.restarter import Restarter
from task_lab.runtime.servers import started

# More than a drained process may take: its handlers' grace, and some air for a busy machine.
_DRAIN_WITHIN_S = 30.0


@dataclass(frozen=True)
class Stage:
    """What faults act upon. over: set when waiting faults are to be healed at once."""

    runtime: NativeRuntime
    restarter: Restarter
    over: threading.Event = field(default_factory=threading.Event)

    def process(self, name: str) -> PlatformProcess:
        """The platform's process of that name. Raises StopIteration where there is none."""
        return next(one for one in self.runtime.processes() if one.name == name)


Action = Callable[[Stage, Fault], AbstractContextManager[Proof]]
Record = Callable[..., object]


def strike(stage: Stage, fault: Fault, record: Record) -> None:
    """Inject the fault, let it last, heal it; each step leaves an event.

    record: `record(event, **fields)`, from this thread.
    """
    about = {"kind": fault.kind.value, "target": fault.target}
    record("fault_started", **about)
    with ACTIONS[fault.kind](stage, fault) as proof:
        record("fault_injected", **about, bit=proof.bit, **proof.seen)
        if fault.kind is not Kind.QUEUE_PURGED:
            stage.over.wait(fault.duration_s)
        record("heal_started", **about)
    record("fault_healed", **about, heal=fault.heal)


@contextmanager
def _kill(stage: Stage, fault: Fault) -> Iterator[Proof]:
    process = stage.process(fault.target)
    with _down(stage, process):
        pid = process.pid
        process.kill()
        yield Proof(not psutil.pid_exists(pid), {"pid": pid, "exit_code": process.exit_code})


@contextmanager
def _drain(stage: Stage, fault: Fault) -> Iterator[Proof]:
    process = stage.process(fault.target)
    with _down(stage, process):
        pid, began = process.pid, time.monotonic()
        process.ask_to_drain()
        process.wait_ended(grace_s=_DRAIN_WITHIN_S)
        seen = {"pid": pid, "exit_code": process.exit_code, "took_s": time.monotonic() - began}
        yield Proof(not psutil.pid_exists(pid), seen)


@contextmanager
def _down(stage: Stage, process: PlatformProcess) -> Iterator[None]:
    """Keep a process from being started again for the time of the block."""
    stage.restarter.hold(process.name)
    try:
        yield
    finally:
        if not process.is_running:
            process.start()
        stage.restarter.release(process.name)


@contextmanager
def _freeze(stage: Stage, fault: Fault) -> Iterator[Proof]:
    process = stage.process(fault.target)
    process.freeze()
    try:
        yield Proof(freezes(process.pid), {"pid": process.pid, "state": "T"})
    finally:
        process.thaw()


@contextmanager
def _database_down(stage: Stage, fault: Fault) -> Iterator[Proof]:
    port = started(stage.runtime.servers.postgres).port
    try:
        stage.runtime.stop_database(immediate=fault.kind is Kind.DATABASE_CRASH)
        yield refused(port)
    finally:
        stage.runtime.start_database()


@contextmanager
def _broker_down(stage: Stage, fault: Fault) -> Iterator[Proof]:
    port = started(stage.runtime.servers.rabbitmq).port
    try:
        if fault.kind is Kind.BROKER_CRASH:
            stage.runtime.kill_broker()
        else:
            stage.runtime.stop_broker()
        yield refused(port)
    finally:
        stage.runtime.start_broker()


@contextmanager
def _server_frozen(stage: Stage, fault: Fault) -> Iterator[Proof]:
    """Connections stay open, and nothing answers on them: as when the network swallows all."""
    servers = stage.runtime.servers
    is_database = fault.kind is Kind.DATABASE_FREEZE
    pid = started(servers.postgres).pid if is_database else started(servers.rabbitmq).pid
    with frozen_family(pid) as processes:
        yield Proof(freezes(pid), {"pid": pid, "state": "T", "processes": processes})


@contextmanager
def _read_only(stage: Stage, fault: Fault) -> Iterator[Proof]:
    url = stage.runtime.endpoints().database_url
    try:
        services.forbid_writes(url)
        yield Proof(services.is_read_only(url), {})
    finally:
        services.allow_writes(url)


@contextmanager
def _database_cut(stage: Stage, fault: Fault) -> Iterator[Proof]:
    cut = services.cut_sessions(stage.runtime.endpoints().database_url)
    yield Proof(cut > 0, {"sessions": cut})


@contextmanager
def _broker_cut(stage: Stage, fault: Fault) -> Iterator[Proof]:
    cut = services.cut_connections(started(stage.runtime.servers.rabbitmq))
    yield Proof(cut > 0, {"connections": cut})


@contextmanager
def _channels_closed(stage: Stage, fault: Fault) -> Iterator[Proof]:
    closed = services.close_channels(started(stage.runtime.servers.rabbitmq))
    yield Proof(closed > 0, {"channels": closed})


@contextmanager
def _queue_purged(stage: Stage, fault: Fault) -> Iterator[Proof]:
    """Purges for as long as the fault lasts: a queue is often empty at any one moment."""
    url = stage.runtime.endpoints().amqp_url
    messages = services.keep_purging(url, fault.duration_s, stage.over)
    yield Proof(messages > 0, {"messages": messages})


@contextmanager
def _queue_deleted(stage: Stage, fault: Fault) -> Iterator[Proof]:
    messages = services.delete_queue(stage.runtime.endpoints().amqp_url)
    yield Proof(messages is not None, {"messages": messages})


ACTIONS: Mapping[Kind, Action] = MappingProxyType(
    {
        Kind.KILL: _kill,
        Kind.FREEZE: _freeze,
        Kind.DRAIN: _drain,
        Kind.DATABASE_STOP: _database_down,
        Kind.DATABASE_CRASH: _database_down,
        Kind.DATABASE_CUT: _database_cut,
        Kind.DATABASE_READ_ONLY: _read_only,
        Kind.DATABASE_FREEZE: _server_frozen,
        Kind.BROKER_STOP: _broker_down,
        Kind.BROKER_CRASH: _broker_down,
        Kind.BROKER_CUT: _broker_cut,
        Kind.BROKER_FREEZE: _server_frozen,
        Kind.CHANNELS_CLOSED: _channels_closed,
        Kind.QUEUE_PURGED: _queue_purged,
        Kind.QUEUE_DELETED: _queue_deleted,
    }
)
