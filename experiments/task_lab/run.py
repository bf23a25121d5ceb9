"""A run, step by step: up, calibrate, measure, collect, check, close; then analyse and judge.

Each step is one synchronous call, so that a notebook cell and a command make it alike. What a step
learned is on disk when it returns; from `check` on, disk is all that is needed. A step that fails
or is interrupted stops the stack before its error goes on.
"""

from __future__ import annotations

import atexit
import functools
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from task_lab.check.judge import check_run, judge_run
from task_lab.collect.archive import keep_dead_letter_queue, keep_ledger
from task_lab.collect.broker import QueueSampler
from task_lab.collect.database import Ledger
from task_lab.collect.host import git_state, library_versions, machine
from task_lab.collect.loop import LoopThread
from task_lab.collect.memory import keep_memory
from task_lab.collect.metrics import keep_metrics, wait_scraped
from task_lab.collect.preflight import check_counters_only_rise
from task_lab.collect.prometheus import Prometheus, Window
from task_lab.collect.versions import server_versions
from task_lab.errors import LabError, UsageError
from task_lab.floor import measure_floor
from task_lab.injected import refuse_undeclared
from task_lab.load.calibration import calibrate
from task_lab.load.processes import Generator
from task_lab.measure import Bench, measure_point, record_load, task_json, wait_settled
from task_lab.progress import tell
from task_lab.runtime.selection import runtime_for
from task_lab.spec import Asked, Spec, load_definition, resolve
from task_lab.store import PROJECT, RESULTS, RunFolder, create_run, utc_text

_R = TypeVar("_R")
# Against a stub that answers at once this takes about a second.
_CALIBRATION_TASKS = 4_000
# A worker counts a task right after the commit that the ledger already shows.
_COUNTED_WITHIN_S = 0.5


def open_experiment(
    name: str, *, run_folder: str | Path = "", results: Path = RESULTS, **params: object
) -> Experiment:
    """The named experiment, ready to be run; nothing is started yet.

    run_folder: a folder made by `new_run`, or empty for a new one below `results`.
    params: what to override; see `task_lab.spec.Asked`. Raises UsageError, also for a parameter
    that papermill gave to the notebook which calls this, and that nobody reads.
    """
    refuse_undeclared({"run_folder", *Asked.model_fields})
    if not run_folder:
        folder = new_run(name, params, results=results)
    else:
        folder = RunFolder(Path(run_folder))
        _check_unused(folder, name, params)
    return Experiment(folder)


def new_run(name: str, params: dict[str, Any], *, results: Path = RESULTS) -> RunFolder:
    """A run folder with the resolved parameters and everything known before the start."""
    spec = resolve(load_definition(name), params)
    asked = {key: value for key, value in params.items() if value is not None and value != ""}
    return create_run(
        name,
        {
            "params": {"asked": asked, "resolved": spec.model_dump(mode="json")},
            "runtime": spec.runtime,
            "git": git_state(PROJECT),
            "machine": machine(),
            "versions": library_versions(),
        },
        results=results,
    )


def _check_unused(folder: RunFolder, name: str, params: dict[str, Any]) -> None:
    run = folder.run()
    if run["experiment"] != name:
        raise UsageError(f"{folder.path} belongs to {run['experiment']!r}, not to {name!r}")
    if folder.events():
        raise UsageError(f"{folder.path} already holds a run")
    if resolve(load_definition(name), params).model_dump(mode="json") != run["params"]["resolved"]:
        raise UsageError(f"{folder.path} was made for other parameters: {run['params']['asked']}")


def _step(step: Callable[[Experiment], _R]) -> Callable[[Experiment], _R]:
    """A step that takes the stack down when it does not come to its end."""

    @functools.wraps(step)
    def guarded(self: Experiment) -> _R:
        try:
            return step(self)
        except BaseException as error:
            self._end("interrupted" if isinstance(error, KeyboardInterrupt) else "crashed")
            raise

    return guarded


class Experiment:
    """One run on its way. Its steps are called in the order in which they stand here.

    From `up` on, `runtime` and `endpoints` are there for whoever wants to disturb or watch it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = RunFolder(folder.path, listener=tell)
        self._exits = ExitStack()
        self._is_open = True
        self._is_collected = False
        self._calibration: dict[str, Any] | None = None
        self.folder = folder.path
        self.spec = Spec.model_validate(folder.run()["params"]["resolved"])
        atexit.register(self.close)

    @_step
    def up(self) -> None:
        """Bring the stack up, without workers, and everything that will watch it."""
        _interrupt_on_sigterm()
        self.runtime = runtime_for(self.spec.runtime, self.folder)
        self._exits.callback(self.runtime.down)
        self.endpoints = self.runtime.up(workers=0, settings=self.spec.settings)
        check_counters_only_rise(f"{self.endpoints.api_url}/metrics")
        self._loop = LoopThread()
        self._exits.callback(self._loop.stop)
        self._ledger = Ledger(self._loop, self.endpoints.database_url)
        self._exits.callback(self._ledger.close)
        self._prometheus = Prometheus(self.endpoints.prometheus_url)
        self._exits.callback(self._prometheus.close)
        self._generator = self._exits.enter_context(
            Generator(self.runtime.logs_dir() / "sender.log")
        )
        self._record_stack()

    @_step
    def calibrate(self) -> None:
        """Measure the floor and the generator on this machine, in this sitting, before the load."""
        self._measure_floor()
        with tempfile.TemporaryDirectory() as scratch:
            reached = calibrate(
                self._generator,
                task_json(self.spec.workloads[0]),
                tasks=_CALIBRATION_TASKS,
                in_flight=self.spec.in_flight,
                scratch=Path(scratch),
            )
        self._calibration = {
            "stub_per_s": reached.submit_per_s,
            "in_flight": self.spec.in_flight,
            "cpu_share": reached.cpu_share,
            "has_precedence": self._generator.has_precedence,
        }
        self._folder.append_event("calibrated", **self._calibration)

    @_step
    def measure(self) -> None:
        """Offer the load, point by point, then wait until the platform has nothing left to do.

        A point that does not drain ends the sweep: what follows would measure its leftovers.
        """
        bench = Bench(
            self.spec,
            self._folder,
            self.runtime,
            self.endpoints.api_url,
            self._ledger,
            self._generator,
        )
        sampler = QueueSampler(self._loop, self.endpoints.amqp_url, self._folder / "samples.jsonl")
        started_at = time.time()
        for workload, workers in self.spec.points():
            is_drained = measure_point(bench, workload, workers)
            record_load(bench, self._calibration)
            if not is_drained:
                break
        is_settled = wait_settled(self._ledger)
        is_scraped = wait_scraped(self._prometheus, since=time.time() + _COUNTED_WITHIN_S)
        sampler.stop()
        self._folder.update_run(windows={"start": started_at, "end": time.time()})
        self._folder.append_event("settled", settled=is_settled, scraped=is_scraped)

    @_step
    def collect(self) -> None:
        """Write down what only the running stack can tell: ledger, queue, metrics, memory."""
        tasks = keep_ledger(self._folder, self._ledger)
        keep_dead_letter_queue(self._folder, self.endpoints.amqp_url, self._loop)
        window = self._folder.run()["windows"]
        keep_metrics(self._prometheus, self._folder, Window.of(window["start"], window["end"]))
        keep_memory(self._folder, self.runtime)
        self._is_collected = True
        self._folder.append_event("collected", tasks=tasks)

    @_step
    def check(self) -> None:
        """Check every accepted task against the ledger and the counters; writes checks.json."""
        self._folder.append_event("checked", verdict=check_run(self._folder)["verdict"])

    def close(self) -> None:
        """Stop the stack. Idempotent, and called at exit in any case."""
        self._end("completed" if self._is_collected else "crashed")

    def judge(self) -> str:
        """The run's verdict, written into run.json: the last step, after the summary."""
        return judge_run(self._folder).value

    def _record_stack(self) -> None:
        versions = server_versions(self.endpoints, self._ledger, self._loop)
        self._folder.update_run(
            versions={**self._folder.run()["versions"], **versions},
            runtime=self.runtime.name,
            clock_skew_s=self._ledger.clock_skew_s(),
        )
        self._folder.append_event(
            "stack_up", api=self.endpoints.api_url, prometheus=self.endpoints.prometheus_url
        )

    def _measure_floor(self) -> None:
        """The floor is a yardstick: a run without one is still a run, and says why it has none."""
        try:
            floor = asdict(measure_floor(self.endpoints, tasks=self.spec.floor_tasks))
        except LabError as error:
            floor = {"reason": str(error)}
        self._folder.write_json("floor.json", floor)
        self._folder.append_event("floor_measured", **floor)

    def _end(self, ended: str) -> None:
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._exits.close()
        finally:
            atexit.unregister(self.close)
            verdict = {"verdict": "INTERRUPTED"} if ended == "interrupted" else {}
            self._folder.update_run(ended=ended, ended_at=utc_text(), **verdict)
            self._folder.append_event("stopped", ended=ended)


def _interrupt_on_sigterm() -> None:
    """Make SIGTERM unwind the running step as Ctrl-C does, unless somebody handles it already."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
