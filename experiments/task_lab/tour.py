"""A running platform to play with, for the first notebook: submit a task, look at it, wait for it.

The platform is the one that `make lab` or `make up` keeps up; where none is, one is brought up, and
taken down again by `leave`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
from task_platform.domain.transitions import TERMINAL

from task_lab import stack
from task_lab.compose_stack import ComposeStack
from task_lab.errors import Unknown

_WORKERS = 2
_LOOK_EVERY_S = 0.1
_ANSWER_S = 10.0
_TERMINAL = {state.value for state in TERMINAL}

Task = dict[str, Any]


class NotFinished(Unknown):
    """The task was not terminal in time; `task` is what it looked like last."""

    def __init__(self, task: Task, within_s: float) -> None:
        self.task = task
        super().__init__(f"task {task['id']} is {task['state']} after {within_s:g} s")


@dataclass(frozen=True)
class Playground:
    """A platform by its API's address. is_ours: it was brought up for this tour."""

    api_url: str
    is_ours: bool

    def submit(self, task_type: str, payload: Any, *, max_retries: int = 3) -> Task:
        """Submit a task; what the API answers. Raises httpx.HTTPStatusError for a refusal."""
        body = {"task_type": task_type, "payload": payload, "max_retries": max_retries}
        answer = httpx.post(f"{self.api_url}/tasks", json=body, timeout=_ANSWER_S, trust_env=False)
        task: Task = answer.raise_for_status().json()
        return task

    def look_at(self, task: Task) -> Task:
        """The task as it is now."""
        answer = httpx.get(f"{self.api_url}/tasks/{task['id']}", timeout=_ANSWER_S, trust_env=False)
        found: Task = answer.raise_for_status().json()
        return found

    def wait_for(self, task: Task, *, within_s: float = 60.0) -> Task:
        """The task once it is terminal. Raises NotFinished."""
        deadline = time.monotonic() + within_s
        while (found := self.look_at(task))["state"] not in _TERMINAL:
            if time.monotonic() > deadline:
                raise NotFinished(found, within_s)
            time.sleep(_LOOK_EVERY_S)
        return found

    def leave(self) -> None:
        """Take the platform down, if it was brought up for this tour."""
        if self.is_ours:
            stack.down()


def visit() -> Playground:
    """The running platform, or a fresh one where none runs. Raises RuntimeUnavailable."""
    state = stack.read_state() or ComposeStack().read_state()
    is_ours = state is None
    if state is None:
        state = stack.up(workers=_WORKERS, api_port=0)
    return Playground(state["endpoints"]["api_url"], is_ours)
