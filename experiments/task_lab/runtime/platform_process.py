"""One process of the platform (api, relay or worker) as the runtime sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from task_lab.errors import UsageError
from task_lab.runtime.base import Replica
from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK
from task_lab.runtime.process import Boot, Child, until, until_ended
from task_lab.runtime.scraping import Target

BOOT_DEADLINE_S = 30.0
# Its own grace for running handlers (10 s), then for a last scrape (5 s), and some air.
DRAIN_DEADLINE_S = 20.0


def platform_command(command: str) -> list[str]:
    """Arguments that run `task-platform COMMAND` with this very interpreter."""
    return [sys.executable, "-P", "-m", "task_platform.cli", command]


def platform_variables(
    settings: Mapping[str, str], *, database_url: str, amqp_url: str
) -> dict[str, str]:
    """Variables common to all processes; `settings` wins, except over where the servers are."""
    inherited = {}
    if search_path := os.environ.get("PYTHONPATH"):
        # The processes run in a folder of their own: what is named from here must be whole.
        entries = (str(Path(entry).absolute()) for entry in search_path.split(os.pathsep))
        inherited["PYTHONPATH"] = os.pathsep.join(entries)
    return {
        **inherited,
        **settings,
        "TASK_PLATFORM_DATABASE_URL": database_url,
        "TASK_PLATFORM_AMQP_URL": amqp_url,
    }


def migrate(instance: Instance, variables: Mapping[str, str], logs: Path) -> Boot:
    """Bring the database schema up to date."""
    child = instance.spawn(
        "migrate",
        platform_command("migrate"),
        log=logs / "migrate.log",
        cwd=instance.folder,
        variables=variables,
    )
    yield from until_ended(child, deadline_s=BOOT_DEADLINE_S)


class PlatformProcess:
    """Starts, drains, freezes or kills one process; it keeps its port when started again."""

    def __init__(
        self,
        instance: Instance,
        *,
        job: str,
        name: str,
        port: int,
        variables: Mapping[str, str],
        logs: Path,
    ) -> None:
        self.name = name
        self.job = job
        self.target = Target(job=job, replica=name, address=f"{LOOPBACK}:{port}")
        self.url = f"http://{LOOPBACK}:{port}"
        self._instance = instance
        self._log = logs / f"{name}.log"
        host, own_port = ("API_HOST", "API_PORT") if job == "api" else ("OPS_HOST", "OPS_PORT")
        self._variables = {
            **variables,
            f"TASK_PLATFORM_{host}": LOOPBACK,
            f"TASK_PLATFORM_{own_port}": str(port),
        }
        self._child: Child | None = None

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """How it ended the last time; None while it runs or when it never did."""
        return self._child.exit_code if self._child else None

    @property
    def pid(self) -> int:
        """Its process id, the last one if it has ended; it must have been started."""
        assert self._child is not None
        return self._child.pid

    def replica(self) -> Replica:
        """How others see this process; it must have been started."""
        return Replica(name=self.name, pid=self.pid, ops_url=self.url)

    def boot(self) -> Boot:
        """Start it; returns when it says it is ready. Raises `UsageError` if it runs already."""
        self.start()
        yield from until(
            self.says_ready,
            what=f"{self.name} to be ready",
            deadline_s=BOOT_DEADLINE_S,
            child=self._child,
        )

    def start(self) -> None:
        """Start it, without waiting. Raises `UsageError` if it runs already."""
        if self.is_running:
            raise UsageError(f"{self.name} is running already")
        self._child = self._instance.spawn(
            self.name,
            platform_command(self.job),
            log=self._log,
            cwd=self._instance.folder,
            variables=self._variables,
        )

    def ask_to_drain(self) -> None:
        """Tell it to drain, without waiting; a frozen process is thawed."""
        if self._child:
            self._child.ask()

    def wait_drained(self) -> None:
        """Wait for its end after `ask_to_drain`; raises `ProgramFailed` unless it ends with 0."""
        if self._child and self._child.wait(grace_s=DRAIN_DEADLINE_S) != 0:
            raise self._child.failure()

    def wait_ended(self, *, grace_s: float) -> None:
        """Wait for its end, kill it after `grace_s` seconds; however it ends is fine."""
        if self._child:
            self._child.wait(grace_s=grace_s)

    def kill(self) -> None:
        """End it at once, with no chance to clean up."""
        if self._child:
            self._child.send(signal.SIGKILL)
            self._child.wait(grace_s=DRAIN_DEADLINE_S)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._child:
            self._child.send(number)

    def says_ready(self) -> bool:
        """Whether its /readyz answers with success now."""
        return says_ready(self.url)


def says_ready(url: str) -> bool:
    """Whether /readyz answers with success now at this address; never at an empty one."""
    with contextlib.suppress(httpx.HTTPError):
        return bool(url) and httpx.get(f"{url}/readyz", timeout=1).is_success
    return False
