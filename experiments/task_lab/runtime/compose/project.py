"""One compose project that this process owns: its commands, its lock, its logs and its events."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from task_lab.errors import ProgramFailed, RuntimeUnavailable
from task_lab.runtime.compose.containers import (
    PROJECT_LABEL,
    Container,
    containers_of,
    leftovers_of,
    sweep,
)
from task_lab.runtime.compose.ends import End, ends_of
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.compose.files import image_name
from task_lab.runtime.process import log_tail
from task_lab.store import PROJECT, write_atomically

_COMMAND_S = 120.0
_BUILD_S = 1_200.0
_EVENTS = (
    "create", "start", "restart", "kill", "die", "oom", "stop", "pause", "unpause", "destroy",
    "health_status", "connect", "disconnect",
)  # fmt: skip


class ProjectInUse(RuntimeUnavailable):
    """Another process of this user runs the project now."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the compose project {name} is in use: another run of this checkout?")


class Leftovers(RuntimeUnavailable):
    """Parts of the project, left by a run that was killed, which the engine does not remove."""

    def __init__(self, name: str, parts: Sequence[str]) -> None:
        self.name, self.parts = name, list(parts)
        super().__init__(
            f"an earlier run left parts of the compose project {name}, and they cannot be removed: "
            f"{', '.join(parts)}. By hand: "
            f"docker compose --project-name {name} down --volumes --remove-orphans"
        )


class ComposeProject:
    """The project `name` of some files; owned from `__init__` until `close`.

    Nobody else runs it then: what is there of it was left by a run that was killed, perhaps in the
    middle of a fault, and is removed.
    variables: the whole environment of its commands. logs: receives `compose.log`, what the
    commands say; `engine-events.jsonl`, what the engine says happened to the containers;
    `ends.json`, which of them ended and came back; and one log for each, see `keep_logs`.
    Raises ProjectInUse, Leftovers.
    """

    def __init__(
        self, name: str, files: Sequence[Path], variables: Mapping[str, str], logs: Path
    ) -> None:
        self.name = name
        self.logs = logs
        self._variables = variables
        self._options = ["--project-name", name, *_options(files)]
        self._lock = _locked(name)
        self._events: subprocess.Popen[bytes] | None = None
        try:
            sweep(name)
            if parts := leftovers_of(name):
                raise Leftovers(name, parts)
            self._follow_events()
        except BaseException:
            self.close()
            raise

    def run(self, *arguments: str, deadline_s: float = _COMMAND_S) -> str:
        """Run a compose command; returns what it prints. Raises ProgramFailed, NotReadyInTime."""
        return docker(
            "compose",
            "--ansi=never",
            "--progress=plain",
            *self._options,
            *arguments,
            deadline_s=deadline_s,
            env=self._variables,
            log=self.logs / "compose.log",
        )

    def up(self, *arguments: str) -> None:
        """Create and start services in the background, building images that are missing or old."""
        self.run("up", "--detach", "--build", *arguments, deadline_s=_BUILD_S)

    def network(self) -> str:
        """The name of the network that all services share, as compose resolves it."""
        config = json.loads(self.run("config", "--format", "json"))
        return str(config["networks"]["default"]["name"])

    def containers(self, service: str = "") -> list[Container]:
        """Its containers in whatever state; see `containers_of`."""
        return containers_of(self.name, service)

    def keep_logs(self, containers: Sequence[Container]) -> None:
        """Write each container's log so far to `logs`, under its name, and who ended so far."""
        ends = [asdict(end) for end in self.ends()]
        write_atomically(self.logs / "ends.json", json.dumps(ends, indent=2) + "\n")
        for container in containers:
            with (self.logs / f"{container.name}.log").open("wb") as log:
                subprocess.run(
                    ["docker", "logs", container.id],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=_COMMAND_S,
                    check=False,
                )

    def first_failure(self) -> ProgramFailed | None:
        """The error of a container that ended by itself, with what it said last."""
        for one in self.containers():
            if one.state == "exited" and one.exit_code != 0:
                return self.failure_of(one)
        return None

    def failure_of(self, container: Container) -> ProgramFailed:
        """The error that says how the container ended."""
        self.keep_logs([container])
        log = self.logs / f"{container.name}.log"
        return ProgramFailed(container.service, container.exit_code, log_tail(log), log)

    def events(self) -> list[dict[str, Any]]:
        """What the engine has told of the containers until now, in order."""
        lines = (self.logs / "engine-events.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def ends(self) -> list[End]:
        """Which containers ended until now, and which of them came back."""
        return ends_of(self.events())

    def remove(self) -> None:
        """Stop and delete all of it, data and the platform's image included."""
        self.run("down", "--volumes", "--remove-orphans")
        # What it was built from stays in the engine's cache. There may be none yet.
        with suppress(ProgramFailed):
            image = image_name(self.name)
            docker("image", "rm", "--no-prune", image, deadline_s=_COMMAND_S)

    def close(self) -> None:
        """Give the project up; what is left of it stays."""
        if self._events:
            self._events.terminate()
            self._events.wait()
        self._lock.close()

    def _follow_events(self) -> None:
        filters = [f"label={PROJECT_LABEL}={self.name}", *(f"event={name}" for name in _EVENTS)]
        options = [part for one in filters for part in ("--filter", one)]
        with (self.logs / "engine-events.jsonl").open("ab") as log:
            self._events = subprocess.Popen(
                ["docker", "events", "--format", "{{json .}}", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )


def _options(files: Sequence[Path]) -> list[str]:
    named = [part for file in files for part in ("--file", str(file))]
    return ["--project-directory", str(PROJECT), *named]


def _locked(name: str) -> IO[bytes]:
    """A lock on the project that ends with this process. Raises ProjectInUse."""
    folder = PROJECT / ".run"
    folder.mkdir(exist_ok=True)
    lock = (folder / f"{name}.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ProjectInUse(name) from None
    return lock
