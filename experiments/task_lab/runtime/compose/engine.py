"""The container engine: whether it answers, its command line, and its API where that is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from task_lab.errors import NotReadyInTime, ProgramFailed, RuntimeUnavailable

_ANSWERS_WITHIN_S = 20.0
_API_ANSWERS_WITHIN_S = 20.0
_TAIL_CHARACTERS = 2_000


class NoEngine(RuntimeUnavailable):
    """No container engine with compose v2 can be used; `reason` is what it said."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the compose runtime needs a container engine with compose v2: {reason}. "
            "`make compose-engine` sets one up on Debian, as root; or use the native runtime."
        )


def require_engine() -> None:
    """Raise `NoEngine` unless an engine answers and its client knows compose v2."""
    if problem := engine_problem():
        raise NoEngine(problem)


def engine_problem() -> str:
    """Why there is no engine to be used; empty when there is one."""
    for command in (("info", "--format", "{{.ServerVersion}}"), ("compose", "version")):
        try:
            docker(*command, deadline_s=_ANSWERS_WITHIN_S)
        except ProgramFailed as error:
            return error.log_tail.splitlines()[-1] if error.log_tail else str(error)
        except NotReadyInTime as error:
            return str(error)
    return ""


def docker(
    *arguments: str,
    deadline_s: float,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Run the client; returns what it prints.

    env: its whole environment, this process's if None. log: where its messages are appended.
    Raises ProgramFailed, also where there is no client, and NotReadyInTime.
    """
    command = "docker " + " ".join(_subcommand(arguments))
    try:
        done = subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError:
        raise ProgramFailed(command, None, "docker is not installed", None) from None
    except subprocess.TimeoutExpired:
        raise NotReadyInTime(command, deadline_s) from None
    if log is not None:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(done.stderr)
    if done.returncode != 0:
        said = done.stderr.strip()[-_TAIL_CHARACTERS:]
        raise ProgramFailed(command, done.returncode, said, log)
    return done.stdout


def api_get(*paths: str) -> list[Any]:
    """What the engine's API answers to each path, for what its client prints only rounded.

    They are asked side by side: for statistics the engine waits for its next look at a container.
    Raises NoEngine where the engine has no local socket or refuses.
    """
    host = docker(
        *("context", "inspect", "--format", "{{.Endpoints.docker.Host}}"),
        deadline_s=_ANSWERS_WITHIN_S,
    ).strip()
    if not host.startswith("unix://"):
        raise NoEngine(f"its API is asked over a local socket, not over {host}")
    transport = httpx.HTTPTransport(uds=host.removeprefix("unix://"))
    engine = httpx.Client(
        transport=transport, base_url="http://engine", timeout=_API_ANSWERS_WITHIN_S
    )
    try:
        with engine as client, ThreadPoolExecutor(max(1, len(paths))) as pool:
            answers = list(pool.map(client.get, paths))
            return [answer.raise_for_status().json() for answer in answers]
    except httpx.HTTPError as error:
        raise NoEngine(f"its API: {error}") from error


def _subcommand(arguments: Sequence[str]) -> list[str]:
    """The command's words, without options, whose values are nobody's business."""
    words = []
    is_value = False
    for argument in arguments:
        if argument.startswith("-"):
            is_value = argument.count("=") == 0
        elif is_value:
            is_value = False
        else:
            words.append(argument)
    return words[:2]
