"""A stack that outlives the command that started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from task_lab import stack
from task_lab.doctor import examine
from task_lab.stack import StackAlreadyUp, StackFailed

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]


def test_a_stack_stays_until_it_is_taken_down(tmp_path: Path) -> None:
    state = stack.up(workers=1, api_port=0, folder=tmp_path)
    try:
        assert stack.read_state(tmp_path) == state
        url = state["endpoints"]["api_url"]
        assert httpx.get(f"{url}/readyz").status_code == 200
        task = httpx.post(f"{url}/tasks", json={"task_type": "sum", "payload": {"numbers": [1, 2]}})
        assert wait_result(f"{url}/tasks/{task.json()['id']}") == {"sum": 3}
        with pytest.raises(StackAlreadyUp):
            stack.up(workers=1, api_port=0, folder=tmp_path)
        # log-ins are in it
        assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600
        supervisor = psutil.Process(state["supervisor"]["pid"])
        children = supervisor.children(recursive=True)
        assert len(children) >= 6
    finally:
        assert stack.down(tmp_path)
    assert stack.read_state(tmp_path) is None
    assert not stack.down(tmp_path)
    _, alive = psutil.wait_procs([supervisor, *children], timeout=20)
    assert alive == []


@pytest.mark.slow
def test_a_stack_starts_again_what_dies_and_says_how_often(
    tmp_path: Path,
) -> None:
    stack.up(workers=2, api_port=0, folder=tmp_path)
    try:
        killed = [kill_a_worker(tmp_path) for _ in range(2)]
        state = wait_state(
            tmp_path, lambda now: len(now["workers"]) == 2 and now["restarts"].total() == 2
        )
        assert set(state["restarts"]) == {worker["name"] for worker in killed}
        assert not {worker["pid"] for worker in killed} & {w["pid"] for w in state["workers"]}
        url = state["endpoints"]["api_url"]
        # Whoever runs it kills its worker; what comes after it is worked off all the same.
        httpx.post(f"{url}/tasks", json={"task_type": "crash", "payload": {}, "max_retries": 0})
        wait_state(tmp_path, lambda now: now["restarts"].total() == 3)
        task = httpx.post(f"{url}/tasks", json={"task_type": "sum", "payload": {"numbers": [1]}})
        assert wait_result(f"{url}/tasks/{task.json()['id']}") == {"sum": 1}
        told = (tmp_path / "supervisor.log").read_text()
        assert told.count("ended with exit code -9; it starts again in 0.5 s") == 2
        assert told.count("ended with exit code 1; it starts again in 1 s") == 1
    finally:
        stack.down(tmp_path)


def test_a_stack_that_cannot_come_up_says_why_and_is_gone(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=rf"{port} .*make up ARGS=\"--api-port \d+\""):
            stack.up(workers=0, api_port=port, folder=tmp_path)
    assert stack.read_state(tmp_path) is None
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.slow
def test_a_stack_runs_handlers_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "shop.py").write_text(
        "from task_platform.handlers import task\n\n"
        "@task('greet')\ndef greet(name):\n    return f'hello {name}'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "own")
    settings = {"TASK_PLATFORM_HANDLERS": "shop"}
    state = stack.up(workers=1, api_port=0, settings=settings, folder=tmp_path)
    try:
        url = state["endpoints"]["api_url"]
        task = httpx.post(f"{url}/tasks", json={"task_type": "greet", "payload": "you"})
        assert wait_result(f"{url}/tasks/{task.json()['id']}") == "hello you"
    finally:
        stack.down(tmp_path)


@pytest.mark.slow
def test_a_stack_with_handlers_that_are_not_there_does_not_come_up(tmp_path: Path) -> None:
    settings = {"TASK_PLATFORM_HANDLERS": "no_such_shop"}
    with pytest.raises(StackFailed, match="cannot import handlers from no_such_shop") as failed:
        stack.up(workers=1, api_port=0, settings=settings, folder=tmp_path)
    why, log = failed.value.reason.splitlines()
    assert "ended with exit code 78" in why
    assert Path(log.removeprefix("its log: ")).exists()


def test_a_state_file_of_a_process_that_is_gone_is_no_stack(tmp_path: Path) -> None:
    gone = {"supervisor": {"pid": os.getpid(), "started": time.time() - 1_000_000}}
    (tmp_path / "stack.json").write_text(json.dumps(gone))
    assert stack.read_state(tmp_path) is None
    assert not stack.down(tmp_path)


def kill_a_worker(folder: Path) -> dict[str, Any]:
    """The first worker, killed, once the stack has noticed."""
    state = stack.read_state(folder)
    assert state
    worker: dict[str, Any] = state["workers"][0]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_state(folder, lambda now: worker not in now["workers"])
    return worker


def wait_state(folder: Path, is_met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The stack's state as soon as it is as wanted; its restarts can be added up."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if state := stack.read_state(folder):
            counted = {**state, "restarts": Counter(state["restarts"])}
            if is_met(counted):
                return counted
        time.sleep(0.05)
    raise AssertionError(f"not in time: {state}")


def wait_result(url: str) -> object:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        task = httpx.get(url).json()
        if task["state"] == "SUCCEEDED":
            return task["result"]
        time.sleep(0.05)
    raise AssertionError(f"not finished in time: {task}")
