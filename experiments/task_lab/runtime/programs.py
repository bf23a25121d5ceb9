"""Finds the server programs on this machine; what is missing is told all at once."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from task_lab.errors import MissingPrograms, RuntimeUnavailable, UsageError

# Debian keeps these out of PATH, one folder a version; the packages' own wrappers in PATH switch
# users and insist on the system's folders.
_EXTRA_FOLDERS = (
    *sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: float(folder.parent.name),
        reverse=True,
    ),
    Path("/usr/lib/rabbitmq/bin"),
)

# server → (program → package)
_NEEDS: dict[str, dict[str, str]] = {
    "postgres": {"initdb": "postgresql", "postgres": "postgresql", "psql": "postgresql"},
    "rabbitmq": {"rabbitmq-server": "rabbitmq-server", "rabbitmqctl": "rabbitmq-server"},
    "redis": {"redis-server": "redis-server"},
    "prometheus": {"prometheus": "prometheus"},
}
SERVERS = frozenset(_NEEDS)


def find_programs(servers: Iterable[str]) -> dict[str, Path]:
    """Path of each program that the named servers need.

    Raises `UsageError` for an unknown server, `MissingPrograms` naming all that are missing.
    """
    if not sys.platform.startswith("linux"):
        raise RuntimeUnavailable("the native runtime needs Linux; use the compose runtime here")
    needs: dict[str, str] = {}
    for server in servers:
        if server not in _NEEDS:
            raise UsageError(f"unknown server {server!r}; there are {', '.join(sorted(_NEEDS))}")
        needs |= _NEEDS[server]
    found = {program: _find(program) for program in needs}
    missing = {program: needs[program] for program, path in found.items() if path is None}
    if missing:
        raise MissingPrograms(missing)
    return {program: path for program, path in found.items() if path is not None}


def unprivileged_user() -> str | None:
    """The account for programs that refuse to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeUnavailable("PostgreSQL refuses to run as root, and there is no user `postgres`")


def _find(program: str) -> Path | None:
    search = os.pathsep.join([*map(str, _EXTRA_FOLDERS), os.environ.get("PATH", os.defpath)])
    path = shutil.which(program, path=search)
    return Path(path) if path else None
