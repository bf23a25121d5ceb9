"""Boots run side by side, and a program that fails says so at once, with its log."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from task_lab.errors import NotReadyInTime, ProgramFailed
from task_lab.runtime.process import Boot, Child, run_boots, until, until_ended

StartPython = Callable[[str], Child]


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[StartPython]:
    """Starts a Python program given as text; ends it after the test."""
    children: list[Child] = []

    def start(program: str) -> Child:
        child = Child.start(
            "snippet",
            [sys.executable, "-S", "-c", program],
            log=tmp_path / "snippet.log",
            env={},
            cwd=tmp_path,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.end(signal.SIGKILL, grace_s=5)


def test_boots_take_turns_until_each_has_returned() -> None:
    steps: list[str] = []

    def boot(name: str, waits: int) -> Boot:
        for _ in range(waits):
            steps.append(name)
            yield
        steps.append(f"{name} ready")

    run_boots(boot("a", 2), boot("b", 1))
    assert steps == ["a", "b", "a", "b ready", "a ready"]


def test_a_program_that_ends_fails_the_wait_for_it_at_once(start_python: StartPython) -> None:
    child = start_python("import sys; print('no room', file=sys.stderr); sys.exit(3)")
    begun_at = time.monotonic()
    with pytest.raises(ProgramFailed) as caught:
        run_boots(until(lambda: False, what="readiness", deadline_s=60, child=child))
    assert time.monotonic() - begun_at < 30
    assert caught.value.program_exit_code == 3
    assert caught.value.log_tail == "no room"
    assert "no room" in str(caught.value)


def test_a_program_that_never_gets_ready_fails_at_its_deadline(start_python: StartPython) -> None:
    child = start_python("import time; time.sleep(60)")
    with pytest.raises(NotReadyInTime) as caught:
        run_boots(until(lambda: False, what="readiness", deadline_s=0.05, child=child))
    assert caught.value.deadline_s == 0.05
    assert child.exit_code is None


@pytest.mark.parametrize("code", [0, 1])
def test_a_one_shot_program_must_end_with_0(start_python: StartPython, code: int) -> None:
    waiting = until_ended(start_python(f"raise SystemExit({code})"), deadline_s=30)
    if code == 0:
        run_boots(waiting)
    else:
        with pytest.raises(ProgramFailed):
            run_boots(waiting)


def test_a_frozen_program_still_ends_when_asked(start_python: StartPython, tmp_path: Path) -> None:
    child = start_python(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('listening', flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "snippet.log"
    run_boots(until(lambda: "listening" in log.read_text(), what="log line", deadline_s=30))
    child.send(signal.SIGSTOP)
    assert child.end(grace_s=30) == 7


def test_a_program_that_ignores_the_request_is_killed_with_what_it_started(
    start_python: StartPython, tmp_path: Path
) -> None:
    child = start_python(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.fork(), flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "snippet.log"
    run_boots(until(lambda: log.read_text().count("\n") == 2, what="both", deadline_s=30))
    grandchild = max(map(int, log.read_text().split()))
    assert child.end(grace_s=0.05) == -signal.SIGKILL
    run_boots(until(lambda: not _runs(grandchild), what="end of the grandchild", deadline_s=30))


def _runs(pid: int) -> bool:
    """Whether the process still executes something; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/exe").readlink() != Path()
    except OSError:
        return False
