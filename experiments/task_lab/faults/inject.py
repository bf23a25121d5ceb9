"""Strikes each planned fault at its time, proves that it bit, and heals it on every way out.

Faults on one target share a thread, so that none begins before the one before it is healed; while
nothing is due all these threads sleep, and nothing stands between the load and the platform.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, Self

from task_lab.errors import LabError
from task_lab.faults.planned import Planned, Strike
from task_lab.faults.seen import Proof, answer_of
from task_lab.runtime.base import ProcessSeen, Runtime, Server
from task_lab.runtime.process import run_boots, until

Record = Callable[..., object]
_Action = Callable[[Runtime, Strike], AbstractContextManager[Proof]]

# A strike later than that would be another one than was planned.
_LATE_S = 1.0
_HEALED_WITHIN_S = 30.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class FaultsFailed(LabError):
    """Faults that the lab could not inject, or not heal: what runs now may not be whole."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__(f"faults failed: {'; '.join(problems)}")


@contextmanager
def injected(runtime: Runtime, strikes: Sequence[Strike], record: Record) -> Iterator[None]:
    """Faults beside a load that begins as the block does; left when all are healed.

    Raises FaultsFailed. See `Injector`.
    """
    with Injector(runtime, strikes, record) as injector:
        injector.begin()
        yield
        injector.wait()


class _Skipped(Exception):
    """The target is not in a state in which the fault could strike it."""


class Injector:
    """The faults of one load, for the time of a `with` block.

    record: `record(event, **fields)`, from any thread. Left before all faults have struck, by an
    exception or by Ctrl-C, the block strikes no more, heals at once what is not healed, and lets no
    signal disturb that: a second Ctrl-C is obeyed afterwards.
    """

    def __init__(self, runtime: Runtime, strikes: Sequence[Strike], record: Record) -> None:
        self._runtime = runtime
        self._strikes = strikes
        self._record = record
        self._over = threading.Event()
        self._began_at = 0.0
        self._problems: list[str] = []
        self._is_told = False
        by_target: dict[str, list[Strike]] = {}
        for strike in strikes:
            by_target.setdefault(strike.target, []).append(strike)
        self._threads = [
            threading.Thread(target=self._strike_all, args=(some,), name=f"faults on {target}")
            for target, some in by_target.items()
        ]

    def begin(self) -> None:
        """The load begins now: times of the plan count from here."""
        self._began_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Return when every fault has struck and is healed. Raises FaultsFailed."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._problems:
            raise FaultsFailed(self._problems)
        if not self._is_told:
            self._is_told = True
            self._record("healed")

    def __enter__(self) -> Self:
        self._record("fault_planned", faults=[asdict(strike) for strike in self._strikes])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _signals_put_off():
            self._over.set()
            # What ended the block early matters more than what it left; the events tell of both.
            with suppress(*([FaultsFailed] if error else [])):
                self.wait()

    def _strike_all(self, strikes: Sequence[Strike]) -> None:
        for strike in strikes:
            due_in_s = self._began_at + strike.at_s - time.monotonic()
            if self._over.wait(max(0.0, due_in_s)):
                self._skip(strike, "the load ended before it was due")
            elif due_in_s < -_LATE_S:
                self._skip(strike, f"{strike.target} was still being healed")
            else:
                self._strike(strike)

    def _strike(self, strike: Strike) -> None:
        about = _about(strike)
        self._record("fault_started", **about, at_s=strike.at_s)
        is_injected = False
        try:
            with _ACTIONS[strike.kind](self._runtime, strike) as proof:
                is_injected = True
                self._record("fault_injected", **about, bit=proof.bit, **proof.seen)
                self._over.wait(strike.for_s)
                self._record("heal_started", **about)
        except _Skipped as error:
            self._skip(strike, str(error))
        # In a thread nobody would hear of it: raised where the faults are waited for.
        except Exception as error:
            told = f"{strike}: {type(error).__name__}: {error}"
            self._problems.append(told)
            if is_injected:
                self._record("heal_failed", **about, reason=told)
            else:
                self._skip(strike, told)
        else:
            self._record("fault_healed", **about)

    def _skip(self, strike: Strike, reason: str) -> None:
        self._record("fault_skipped", **_about(strike), reason=reason)


def _about(strike: Strike) -> dict[str, Any]:
    return {"number": strike.number, "kind": strike.kind.value, "target": strike.target}


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Obey signals that end a program after the block; only the main thread can put them off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def put_off(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, put_off) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if arrived:
            signal.raise_signal(arrived[0])


@contextmanager
def _killed(runtime: Runtime, strike: Strike) -> Iterator[Proof]:
    victim = _running(runtime, strike)
    try:
        runtime.kill(strike.target)
        after = runtime.process(strike.target)
        seen = {"process": victim.name, "pid": victim.pid, "state": after.state, "means": "SIGKILL"}
        yield Proof(after.state == "ended", seen)
    finally:
        if runtime.process(strike.target).state == "ended":
            runtime.start(strike.target)


@contextmanager
def _frozen(runtime: Runtime, strike: Strike) -> Iterator[Proof]:
    victim = _running(runtime, strike)
    try:
        runtime.freeze(strike.target)
        after = runtime.process(strike.target)
        seen = {"process": victim.name, "pid": victim.pid, "state": after.state, "means": "SIGSTOP"}
        yield Proof(after.state == "frozen", seen)
    finally:
        runtime.thaw(strike.target)


def _running(runtime: Runtime, strike: Strike) -> ProcessSeen:
    process = runtime.process(strike.target)
    if process.state != "running":
        raise _Skipped(f"{process.name} was {process.state} already")
    return process


@contextmanager
def _broker_down(runtime: Runtime, strike: Strike) -> Iterator[Proof]:
    url = _url(runtime, "broker")
    try:
        runtime.stop_broker()
        yield _unreachable(url, "stopped in order")
    finally:
        if answer_of(url) != "answered":
            runtime.start_broker()


@contextmanager
def _database_down(runtime: Runtime, strike: Strike) -> Iterator[Proof]:
    url = _url(runtime, "database")
    is_crash = strike.kind is Planned.DATABASE_CRASH
    try:
        runtime.stop_database(immediate=is_crash)
        yield _unreachable(url, "stopped as in a crash" if is_crash else "stopped in order")
    finally:
        if answer_of(url) != "answered":
            runtime.start_database()


@contextmanager
def _cut_off(runtime: Runtime, strike: Strike) -> Iterator[Proof]:
    server: Server = "database" if strike.target == "database" else "broker"
    url = _url(runtime, server)
    with runtime.cut_off(server) as means:
        yield _unreachable(url, means)
    run_boots(
        until(
            lambda: answer_of(url) == "answered",
            what=f"the {server} to answer again",
            deadline_s=_HEALED_WITHIN_S,
        )
    )


def _url(runtime: Runtime, server: Server) -> str:
    endpoints = runtime.endpoints()
    return endpoints.database_url if server == "database" else endpoints.amqp_url


def _unreachable(url: str, means: str) -> Proof:
    answer = answer_of(url)
    return Proof(answer != "answered", {"means": means, "connection": answer})


_ACTIONS: Mapping[Planned, _Action] = MappingProxyType(
    {
        Planned.KILL: _killed,
        Planned.FREEZE: _frozen,
        Planned.BROKER_RESTART: _broker_down,
        Planned.DATABASE_RESTART: _database_down,
        Planned.DATABASE_CRASH: _database_down,
        Planned.NETWORK_CUT: _cut_off,
    }
)
