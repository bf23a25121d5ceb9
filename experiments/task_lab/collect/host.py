"""What the run ran on: the machine, the versions of everything that took part, the code's state."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = (
    "aiohttp",
    "aiormq",
    "asyncpg",
    "fastapi",
    "httpx",
    "httpx-aiohttp",
    "msgspec",
    "prometheus-api-client",
    "prometheus-client",
    "starlette",
    "uvicorn",
    "uvloop",
)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, and a fingerprint under which results may be compared.

    The fingerprint leaves out the host's name and the kernel's build: a new container on the same
    hardware is the same machine.
    """
    cpu, cores = _cpu_model(), len(os.sched_getaffinity(0))
    memory_bytes = psutil.virtual_memory().total
    identity = f"{cpu}|{cores}|{memory_bytes / 2**30:.0f}|{platform.machine()}|{platform.system()}"
    return {
        "cpu": cpu,
        "cores": cores,
        "memory_bytes": memory_bytes,
        "kernel": f"{platform.system()} {platform.release()}",
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:12],
    }


def library_versions() -> dict[str, str]:
    """Python, the platform and the libraries on its hot path and the lab's."""
    return {
        "python": sys.version.split()[0],
        "task_platform": metadata.version("task-platform"),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def git_state(folder: Path) -> dict[str, Any]:
    """`sha` of the checkout and whether it is `dirty`; both None outside a git checkout."""
    try:
        sha = _git(folder, "rev-parse", "HEAD")
        return {"sha": sha, "dirty": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"sha": None, "dirty": None}


def _git(folder: Path, *command: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
