"""A stack that outlives the command that started it."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from pathlib import Path

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


def test_a_stack_that_cannot_come_up_says_why_and_is_gone(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=str(port)):
            stack.up(workers=0, api_port=port, folder=tmp_path)
    assert stack.read_state(tmp_path) is None
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_state_file_of_a_process_that_is_gone_is_no_stack(tmp_path: Path) -> None:
    gone = {"supervisor": {"pid": os.getpid(), "started": time.time() - 1_000_000}}
    (tmp_path / "stack.json").write_text(json.dumps(gone))
    assert stack.read_state(tmp_path) is None
    assert not stack.down(tmp_path)


def wait_result(url: str) -> object:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        task = httpx.get(url).json()
        if task["state"] == "SUCCEEDED":
            return task["result"]
        time.sleep(0.05)
    raise AssertionError(f"not finished in time: {task}")
