"""The platform that chaos strikes: two APIs, two relays, three workers, short times, no extras."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx

from task_lab.chaos.load import APIS
from task_lab.collect.witness import install_witness
from task_lab.faults.actions import Stage
from task_lab.runtime.native import NativeRuntime
from task_lab.runtime.restarter import Death, Restarter

RELAYS, WORKERS = 2, 3
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "TASK_PLATFORM_LEASE_S": "2",
        "TASK_PLATFORM_RENEW_S": "0.5",
        "TASK_PLATFORM_REAPER_INTERVAL_S": "0.2",
        "TASK_PLATFORM_RETRY_BASE_S": "0.1",
        "TASK_PLATFORM_RETRY_CAP_S": "1",
        "TASK_PLATFORM_OUTBOX_GRACE_S": "1",
        "TASK_PLATFORM_REANNOUNCE_AGE_S": "2",
        "TASK_PLATFORM_REANNOUNCE_EVERY_S": "2",
        "TASK_PLATFORM_BROKER_HEARTBEAT_S": "2",
        "TASK_PLATFORM_DRAIN_GRACE_S": "2",
        "TASK_PLATFORM_FINAL_SCRAPE_WAIT_S": "0",
        # Few at a time, so that messages wait in the queue, where a purge finds them.
        "TASK_PLATFORM_WORKER_CONCURRENCY": "3",
    }
)
_REANNOUNCED = "relay_reannounced_total"


class ChaosPlatform:
    """A running platform. deaths: processes that ended by themselves, not yet told of."""

    def __init__(self, runtime: NativeRuntime, restarter: Restarter, deaths: deque[Death]) -> None:
        self.runtime = runtime
        self.endpoints = runtime.endpoints()
        self.api_urls = [one.url for one in runtime.processes() if one.job == "api"]
        self._restarter = restarter
        self._deaths = deaths

    def stage(self) -> Stage:
        """Where the faults of one trial act."""
        return Stage(self.runtime, self._restarter)

    def take_deaths(self) -> list[Death]:
        """The deaths since the last call."""
        return [self._deaths.popleft() for _ in range(len(self._deaths))]

    async def reannounced(self) -> dict[int, float]:
        """How often each relay has announced forgotten tasks again, by its process id."""
        relays = [one for one in self.runtime.processes() if one.job == "relay"]
        async with httpx.AsyncClient(timeout=5) as http:
            texts = [(one.pid, (await http.get(f"{one.url}/metrics")).text) for one in relays]
        return {pid: _value(text) for pid, text in texts}


@contextmanager
def chaos_platform(folder: Path) -> Iterator[ChaosPlatform]:
    """A fresh platform for the time of the block, under a witness. Logs go below `folder`."""
    runtime = NativeRuntime(folder, programs={"postgres", "rabbitmq"}, apis=APIS, relays=RELAYS)
    deaths: deque[Death] = deque()
    with runtime:
        endpoints = runtime.up(workers=WORKERS, settings=SETTINGS)
        asyncio.run(install_witness(endpoints.database_url))
        with Restarter(runtime.processes, deaths.append) as restarter:
            yield ChaosPlatform(runtime, restarter, deaths)


def _value(text: str) -> float:
    lines = (line for line in text.splitlines() if line.startswith(f"{_REANNOUNCED} "))
    return sum(float(line.split()[1]) for line in lines)
