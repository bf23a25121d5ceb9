"""The container engine's command line: whether it answers, and how it is called."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from task_lab.errors import NotReadyInTime, ProgramFailed, RuntimeUnavailable

_ANSWERS_WITHIN_S = 20.0
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
