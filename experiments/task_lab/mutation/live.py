"""Sabotages of the generator while a run goes on: no file of a finished run can tell of those.

Nothing is written over: the generator is stopped from outside, and has to say so itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from task_lab.check.verdict import Verdict
from task_lab.errors import LabError
from task_lab.mutation.bases import BASES
from task_lab.mutation.sabotage import INVALID
from task_lab.mutation.trial import Outcome, Trial, judge_anew
from task_lab.run import Experiment, new_run
from task_lab.store import RunFolder

_SENDER = b"task_lab.load.sender"
_FROZEN_S = 3.0
# Of every tenth of a second, so much goes to somebody else.
_PERIOD_S, _TAKEN_S = 0.1, 0.08
_LOOK_EVERY_S = 0.01
_INTO_THE_LOAD_S = 0.1


def freeze_the_generator(pid: int, _is_over: threading.Event) -> None:
    """The generator stands still for three seconds in the middle of its load."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(_FROZEN_S)
    os.kill(pid, signal.SIGCONT)


def take_the_generators_core(pid: int, is_over: threading.Event) -> None:
    """Somebody else has the generator's core for four fifths of the time."""
    while not is_over.is_set():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_TAKEN_S)
        os.kill(pid, signal.SIGCONT)
        is_over.wait(_PERIOD_S - _TAKEN_S)


@dataclass(frozen=True)
class LiveSabotage:
    """What is done to the generator in the first measured phase of so many tasks."""

    change: Callable[[int, threading.Event], None]
    kind: str
    verdict: Verdict = INVALID
    noticed_by: str = "generator_not_the_limit"

    @property
    def name(self) -> str:
        """As tables have it."""
        loop = "closed loop" if self.kind == "throughput" else "open loop"
        return f"{self.change.__name__.replace('_', ' ')} ({loop})"

    @property
    def story(self) -> str:
        """What went wrong, in a sentence."""
        return (self.change.__doc__ or "").strip()


LIVE = (
    LiveSabotage(freeze_the_generator, "throughput"),
    LiveSabotage(freeze_the_generator, "saturation"),
    LiveSabotage(take_the_generators_core, "throughput"),
)


def try_live(sabotage: LiveSabotage, results: Path) -> Trial:
    """A run of its own, disturbed, without notebook and figures; judged from disk."""
    definition, asked = BASES[sabotage.kind]
    folder = new_run(definition, dict(asked), results=results)
    experiment = Experiment(folder)
    try:
        with redirect_stdout(sys.stderr):  # what a run tells as it goes on is no result
            experiment.up()
            experiment.calibrate()
            with _disturbed(sabotage, folder):
                experiment.measure()
            experiment.collect()
    except LabError as error:
        outcome = Outcome(Verdict.UNKNOWN, (type(error).__name__,), str(error))
    else:
        experiment.close()
        outcome = judge_anew(folder)
    finally:
        experiment.close()
    return Trial(sabotage.kind, sabotage.name, sabotage.verdict, sabotage.noticed_by, outcome)


@contextmanager
def _disturbed(sabotage: LiveSabotage, folder: RunFolder) -> Iterator[None]:
    is_over = threading.Event()
    pid = _pid_of_the_sender()

    def strike() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            if any(_is_measured(event) for event in folder.events()):
                is_over.wait(_INTO_THE_LOAD_S)
                with suppress(ProcessLookupError):
                    sabotage.change(pid, is_over)
                return

    striking = threading.Thread(target=strike, daemon=True)
    striking.start()
    try:
        yield
    finally:
        is_over.set()
        striking.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _is_measured(event: dict[str, object]) -> bool:
    return event["event"] == "phase_started" and event["kind"] in ("round", "step")


def _pid_of_the_sender() -> int:
    """The sender that this process started. Raises StopIteration."""
    own = f"PPid:\t{os.getpid()}\n"
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            is_own = entry.name.isdigit() and own in (entry / "status").read_text()
            if is_own and _SENDER in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise StopIteration
