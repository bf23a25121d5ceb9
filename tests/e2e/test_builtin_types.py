"""A platform without the built-in task types: neither the API nor the workers know them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from task_lab.doctor import examine
from task_lab.runtime.native import NativeRuntime

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]

OWN = """
from task_platform.handlers import task

@task("own")
def own(payload):
    return payload
"""


def test_without_the_built_in_types_nobody_can_crash_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_types.py").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = {"TASK_PLATFORM_BUILTIN_TYPES": "false", "TASK_PLATFORM_HANDLERS": "own_types"}
    with NativeRuntime(tmp_path, programs={"postgres", "rabbitmq"}) as runtime:
        url = runtime.up(workers=1, settings=settings).api_url
        replicas = runtime.replicas()
        assert ended(url, "crash", {})["error"]["type"] == "UnknownTaskType"
        # The API has no model for it either.
        assert ended(url, "sum", {"numbers": "none"})["error"]["type"] == "UnknownTaskType"
        assert ended(url, "own", 1)["result"] == 1
        assert runtime.replicas() == replicas


def ended(url: str, task_type: str, payload: Any) -> dict[str, Any]:
    """The task at its end, after one attempt."""
    body = {"task_type": task_type, "payload": payload, "max_retries": 0}
    answer = httpx.post(f"{url}/tasks", json=body)
    assert answer.status_code == 201
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        task: dict[str, Any] = httpx.get(f"{url}/tasks/{answer.json()['id']}").json()
        if task["state"] in ("SUCCEEDED", "FAILED"):
            return task
        time.sleep(0.05)
    raise AssertionError(f"not finished in time: {task}")
