"""The disk below the data: what a durable commit can cost at least, measured briefly."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

_WRITES = 20
# A page, as a small commit writes at least.
_WRITE_BYTES = 4096


def disk(folder: Path) -> dict[str, Any]:
    """File system of the folder, its free space, and what syncing 4 KiB to it takes.

    fsync_ms: median of 20, each after an append. None for what cannot be had.
    """
    found = _mount(folder)
    try:
        free_bytes: int | None = psutil.disk_usage(str(folder)).free
    except OSError:
        free_bytes = None
    return {
        "file_system": found and found[0],
        "mount_options": found and found[1],
        "free_bytes": free_bytes,
        "fsync_ms": fsync_ms(folder),
    }


def fsync_ms(folder: Path) -> float | None:
    """Median milliseconds of a small append and its fsync; None where that is not possible."""
    taken_s = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for _ in range(_WRITES):
                started = time.perf_counter()
                file.write(bytes(_WRITE_BYTES))
                os.fsync(file.fileno())
                taken_s.append(time.perf_counter() - started)
    except OSError:
        return None
    return float(f"{statistics.median(taken_s) * 1e3:.3g}")


def _mount(folder: Path) -> tuple[str, str] | None:
    """Type and options of the file system that holds the folder."""
    path = folder.resolve()
    holding = [
        (len(mount.parts), disk.fstype, disk.opts)
        for disk in psutil.disk_partitions(all=True)
        if path.is_relative_to(mount := Path(disk.mountpoint))
    ]
    # Of several mounts on one folder the last covers the others.
    return max(enumerate(holding), key=lambda one: (one[1][0], one[0]))[1][1:] if holding else None
