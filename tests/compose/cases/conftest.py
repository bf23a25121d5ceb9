"""One stack of the lab for all cases, and what they ask of it and of its ledger.

An awkward one: its user's settings make other names, its network has a name of its own, and its
first worker ends once before it works. Its times are short.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from task_lab.check.histories import Judgement, Operation, judge_history
from task_lab.check.histories_ledger import Ledger
from task_lab.collect.witness import install_witness, read_ledger
from task_lab.runtime.broker_probe import consumer_count
from task_lab.runtime.compose.containers import Container
from task_lab.runtime.compose.files import LabStack, project_name, stack_files
from task_lab.runtime.compose.runtime import ComposeRuntime
from task_lab.runtime.process import run_boots, until
from task_lab.runtime.scraping import reached
from task_platform.domain.transitions import TERMINAL

from ...e2e.conftest import SHORT_TIMES, Platform
from ...engine import engine_or_skip

# An attempt that failed leaves time to restart the broker before the next one.
RETRY_BASE_S = 3
SETTINGS = SHORT_TIMES | {
    "TASK_PLATFORM_RETRY_BASE_S": str(RETRY_BASE_S),
    "TASK_PLATFORM_BROKER_HEARTBEAT_S": "1",
    "TASK_PLATFORM_DLQ_CHECK_S": "0.5",
}
NETWORK = f"{project_name()}-of-its-own"
_ENDS_ONCE = "[ -e /shared/ended ] || { touch /shared/ended; exit 1; }; exec task-platform worker"
_AT_REST_WITHIN_S = 30.0


@dataclass(frozen=True)
class Start:
    """What was true when `up` returned. consumers: on the queue. reached: by Prometheus."""

    containers: Sequence[Container]
    api_status: int
    consumers: int | None
    reached: Mapping[str, bool]


@dataclass(frozen=True)
class Stack(Platform):
    """The platform in containers. shared: the folder that workers have as /shared."""

    runtime: ComposeRuntime
    shared: Path
    start: Start

    def workers(self, count: int) -> list[Container]:
        """Exactly so many workers, the oldest first."""
        if len(self.runtime.replicas()) != count:
            self.runtime.scale(count)
        return self.runtime.project.containers("worker")

    def the(self, service: str) -> Container:
        """The only container of a service."""
        (container,) = self.runtime.project.containers(service)
        return container

    async def send(self, key: str, task_type: str, expected: Any, **fields: Any) -> Operation:
        """Submit one task; returns it as its client saw it."""
        payload = fields.pop("payload", {})
        (task_id,) = await self.submit(1, task_type, payload, idempotency_key=key, **fields)
        retries = fields.get("max_retries", 3)
        return Operation(key, task_type, payload, retries, "ok", task_id, expected)

    async def judged(self, operations: Sequence[Operation]) -> tuple[Judgement, Ledger]:
        """The judgement of these alone, once they are at rest or the time is up."""
        first_id = min(one.task_id or "" for one in operations)
        deadline = monotonic() + _AT_REST_WITHIN_S
        while True:
            url = self.endpoints.database_url
            ledger = await read_ledger(url, self.endpoints.amqp_url, first_id=first_id)
            if _is_at_rest(ledger) or monotonic() > deadline:
                return judge_history(operations, ledger), ledger
            await asyncio.sleep(0.2)


def _is_at_rest(ledger: Ledger) -> bool:
    open_letters = sum(letter.is_open for letter in ledger.dead_letters)
    is_terminal = all(row.state in TERMINAL for row in ledger.tasks)
    on_its_way = ledger.outbox or ledger.claims or ledger.tasks_depth
    return is_terminal and not on_its_way and open_letters == len(ledger.dlq_ids)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last of all: the stack is there until the session ends, and a checkout has only one."""
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker in the beginning; a test that needs so many scales first."""
    engine_or_skip()
    folder = tmp_path_factory.mktemp("cases")
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)  # a worker is another user
    worker = {"volumes": [f"{shared}:/shared"], "entrypoint": ["bash", "-c", _ENDS_ONCE]}
    added = {"services": {"worker": worker}, "networks": {"default": {"name": NETWORK}}}
    file = folder / "added.yml"
    file.write_text(json.dumps(added))  # JSON is YAML
    usual, files = LabStack.variables, [*stack_files(), file]
    with ComposeRuntime(folder) as runtime:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COMPOSE_FILE", os.pathsep.join(map(str, files)))
            # As a user's .env may say.
            compatible = {"COMPOSE_COMPATIBILITY": "true"}
            patch.setattr(LabStack, "variables", lambda self: {**usual(self), **compatible})
            endpoints = runtime.up(workers=1, settings=SETTINGS)
        start = Start(
            containers=runtime.project.containers(),
            api_status=httpx.get(f"{endpoints.api_url}/readyz").status_code,
            consumers=consumer_count(endpoints.amqp_url, "tasks"),
            reached=reached(endpoints.prometheus_url),
        )
        asyncio.run(install_witness(endpoints.database_url))
        yield Stack(runtime, endpoints, shared, start)


def wait_until(is_done: Callable[[], bool], what: str, deadline_s: float = 30) -> None:
    """Wait for it, or fail."""
    run_boots(until(is_done, what=what, deadline_s=deadline_s))
