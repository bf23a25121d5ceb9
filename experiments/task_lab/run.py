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
from task_lab.collect.archive import keep_dead_letter_queue, keep_ledger, keep_witness
from task_lab.collect.broker import QueueSampler
from task_lab.collect.database import Ledger
from task_lab.collect.host import git_state, library_versions, machine
from task_lab.collect.images import image_digests
from task_lab.collect.loop import LoopThread
from task_lab.collect.memory import keep_memory
from task_lab.collect.metrics import CURVES, keep_metrics, wait_scraped
from task_lab.collect.preflight import check_counters_only_rise, check_scraped_often_enough
from task_lab.collect.prometheus import Prometheus, Window
from task_lab.collect.resources import sample_resources
from task_lab.collect.versions import server_versions
from task_lab.collect.witness import install_witness
from task_lab.errors import LabError, UsageError
from task_lab.floor import measure_floor
from task_lab.injected import refuse_undeclared
from task_lab.load.calibration import calibrate
from task_lab.load.processes import Generator
from task_lab.load.schedule import read_trace
from task_lab.measure import measure
from task_lab.measure.bench import Bench, wait_settled
from task_lab.measure.testimony import record_load
from task_lab.progress import tell
from task_lab.runtime.selection import runtime_for
from task_lab.spec import Spec, definition_path, load_definition, read_spec, resolve
from task_lab.store import (
    DEFINITION,
    PROJECT,
    RESULTS,
    TRACE,
    RunFolder,
    create_run,
    utc_text,
    write_atomically,
)

_R = TypeVar("_R")
# Against a stub that answers at once this takes about a second.
_CALIBRATION_TASKS = 4_000
# A worker counts a task right after the commit that the ledger already shows.
_COUNTED_WITHIN_S = 0.5
_ANSWER_S = 60.0


def open_experiment(
    name: str, *, run_folder: str | Path = "", results: Path = RESULTS, **params: object
) -> Experiment:
    """The named experiment, ready to be run; nothing is started yet.

    run_folder: a folder made by `new_run`, or empty for a new one below `results`.
    params: what to override; see `Asked` in `task_lab.spec`. Raises UsageError, also for a
    parameter that papermill gave to the notebook which calls this, and that nobody reads.
    """
    refuse_undeclared({"run_folder", *load_definition(name).parameters()})
    if not run_folder:
        folder = new_run(name, params, results=results)
    else:
        folder = RunFolder(Path(run_folder))
        _check_unused(folder, name, params)
    return Experiment(folder)


def new_run(name: str, params: dict[str, Any], *, results: Path = RESULTS) -> RunFolder:
    """A run folder with the resolved parameters and everything known before the start.

    name: of an experiment, or the path of a definition file of the caller's own; a copy of either
    goes to the folder.
    """
    path = definition_path(name)
    definition = load_definition(name)
    spec = resolve(definition, params)
    trace = _trace_of(spec)
    asked = {key: value for key, value in params.items() if value is not None and value != ""}
    folder = create_run(
        definition.name,
        {
            "params": {"asked": asked, "resolved": spec.model_dump(mode="json")},
            "runtime": spec.runtime,
            "git": git_state(PROJECT),
            "machine": machine(),
            "versions": library_versions(),
        },
        results=results,
    )
    write_atomically(folder / DEFINITION, path.read_text("utf-8"))
    if trace:
        write_atomically(folder / TRACE, trace.read_text("utf-8"))
    return folder


def _trace_of(spec: Spec) -> Path | None:
    """The recorded trace that the load is to replay, if it does. Raises UsageError."""
    arrivals = getattr(spec, "arrivals", None)
    if arrivals is None or arrivals.trace is None:
        return None
    path = Path(arrivals.trace)
    read_trace(path)
    return path


def _check_unused(folder: RunFolder, name: str, params: dict[str, Any]) -> None:
    run = folder.run()
    kept, definition = run["params"]["resolved"], load_definition(name)
    if kept["kind"] != definition.kind:
        raise UsageError(f"{folder.path} belongs to {run['experiment']!r}, not to {name!r}")
    if folder.events():
        raise UsageError(f"{folder.path} already holds a run")
    # A notebook repeats the defaults of its own experiment; a definition of the caller's own has
    # others, and what it resolved to stands in the folder.
    if (folder / DEFINITION).read_text("utf-8") != definition_path(name).read_text("utf-8"):
        return
    if resolve(definition, params).model_dump(mode="json") != kept:
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
        self.spec = read_spec(folder.run()["params"]["resolved"])
        atexit.register(self.close)

    @_step
    def up(self) -> None:
        """Bring the stack up, without workers, and everything that will watch it."""
        _interrupt_on_sigterm()
        self.runtime = runtime_for(self.spec.runtime, self.folder)
        self._exits.callback(self.runtime.down)
        self.endpoints = self.runtime.up(workers=0, settings=self.spec.variables())
        check_counters_only_rise(f"{self.endpoints.api_url}/metrics")
        check_scraped_often_enough(self.endpoints.prometheus_url, CURVES.values())
        self._loop = LoopThread()
        self._exits.callback(self._loop.stop)
        self._ledger = Ledger(self._loop, self.endpoints.database_url)
        self._exits.callback(self._ledger.close)
        self._prometheus = Prometheus(self.endpoints.prometheus_url)
        self._exits.callback(self._prometheus.close)
        self._generator = self._exits.enter_context(
            Generator(self.runtime.logs_dir() / "sender.log")
        )
        self._resources = sample_resources(self._folder.path, self.runtime, [self._generator.pid])
        self._exits.callback(self._resources.stop)
        if self.spec.is_witnessed:
            self._loop.run(install_witness(self.endpoints.database_url), _ANSWER_S)
        self._record_stack()

    @_step
    def calibrate(self) -> None:
        """Measure the floor and the generator on this machine, in this sitting, before the load."""
        self._measure_floor()
        with tempfile.TemporaryDirectory() as scratch:
            reached = calibrate(
                self._generator,
                self.spec.workloads[0].parts[0].submission_text(),
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
        """Offer the load, then wait until the platform has nothing left to do.

        Whatever ends this early, what the generator has said by then is kept.
        """
        bench = Bench(
            self.spec,
            self._folder,
            self.runtime,
            self.endpoints,
            self._ledger,
            self._generator,
            stub_per_s=(self._calibration or {}).get("stub_per_s"),
        )
        sampler = QueueSampler(self._loop, self.endpoints.amqp_url, self._folder / "samples.jsonl")
        started_at = time.time()
        try:
            measure(bench)
        finally:
            record_load(bench, self._calibration)
        is_settled = wait_settled(self._ledger)
        is_scraped = wait_scraped(self._prometheus, since=time.time() + _COUNTED_WITHIN_S)
        sampler.stop()
        self._resources.stop()
        self._folder.update_run(windows={"start": started_at, "end": time.time()})
        self._folder.append_event("settled", settled=is_settled, scraped=is_scraped)

    @_step
    def collect(self) -> None:
        """Write down what only the running stack can tell: ledger, queue, metrics, memory."""
        tasks = keep_ledger(self._folder, self._ledger)
        keep_dead_letter_queue(self._folder, self.endpoints.amqp_url, self._loop)
        if self.spec.is_witnessed:
            keep_witness(self._folder, self.endpoints, self._loop)
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
            images=self._image_digests(),
            runtime=self.runtime.name,
            clock_skew_s=self._ledger.clock_skew_s(),
        )
        self._folder.append_event(
            "stack_up", api=self.endpoints.api_url, prometheus=self.endpoints.prometheus_url
        )

    def _image_digests(self) -> dict[str, Any]:
        """What the containers were made of; a run whose engine does not tell is still a run."""
        try:
            return dict(image_digests(self.runtime))
        except LabError as error:
            return {"reason": str(error)}

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
