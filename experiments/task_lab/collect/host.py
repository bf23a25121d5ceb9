"""What the run runs on: the machine, the versions of the libraries, the state of the checkout."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from task_lab.collect.checkout import git_state
from task_lab.collect.disk import disk
from task_lab.collect.interpreter import interpreter
from task_lab.collect.libraries import library_versions
from task_lab.collect.limits import limits
from task_lab.collect.processor import cpu_model, processor
from task_lab.collect.system import load, memory, system
from task_lab.collect.unstable import unstable
from task_lab.runtime.instance import default_data_root

__all__ = ["git_state", "library_versions", "machine"]


def machine(data_folder: Path | None = None) -> dict[str, Any]:
    """The machine, and a fingerprint under which results may be compared.

    data_folder: where the servers keep their data, whose disk is looked at; the native runtime's,
    if None. `unstable`: why figures of this machine, as it is now, are shaky. A fact that nobody
    tells is None. The host's name is left out.

    The fingerprint leaves out the host's name and the kernel's build: a new container on the same
    hardware is the same machine.
    """
    cpu, cores = cpu_model(), len(os.sched_getaffinity(0))
    memory_bytes = psutil.virtual_memory().total
    identity = f"{cpu}|{cores}|{memory_bytes / 2**30:.0f}|{platform.machine()}|{platform.system()}"
    found = {
        "cpu": cpu,
        "cores": cores,
        "memory_bytes": memory_bytes,
        "kernel": f"{platform.system()} {platform.release()}",
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "processor": processor(),
        "limits": limits(),
        "memory": memory(),
        "load": load(),
        "system": system(),
        "disk": disk(data_folder or default_data_root()),
        "python": interpreter(),
    }
    return {**found, "unstable": unstable(found)}
