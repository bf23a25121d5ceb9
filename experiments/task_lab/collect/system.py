"""The system below the run: what it is, what it runs in, and how busy it was when asked."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil

from task_lab.collect.kernel_files import ROOT, read_number, read_pairs, read_text

_CONTAINER_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc")


def system(root: Path = ROOT) -> dict[str, Any]:
    """Names and settings of the system; None for what it does not tell.

    aslr: 0 off, 1 partly, 2 on. timer: the clock that Python measures short times with.
    """
    clock = time.get_clock_info("perf_counter")
    clocks = root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return {
        "os": read_pairs(root / "etc/os-release", "=").get("PRETTY_NAME", "").strip('"') or None,
        "kernel_release": platform.release(),
        "kernel_version": platform.version(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "aslr": read_number(root / "proc/sys/kernel/randomize_va_space"),
        "clock_source": read_text(clocks),
        "timer": {"implementation": clock.implementation, "resolution_s": clock.resolution},
        "hypervisor": hypervisor(root),
        "container": container(root),
    }


def load(root: Path = ROOT) -> dict[str, Any]:
    """How busy the system is and since when it runs; times in unix seconds, UTC.

    load_average: over 1, 5 and 15 minutes.
    """
    told = (read_text(root / "proc/loadavg") or "").split()
    uptime = (read_text(root / "proc/uptime") or "").split()
    return {
        "load_average": [float(value) for value in told[:3]] or None,
        "runnable_threads": int(told[3].partition("/")[0]) if len(told) > 3 else None,
        "uptime_s": float(uptime[0]) if uptime else None,
        "booted_at": psutil.boot_time(),
    }


def memory() -> dict[str, Any]:
    """Memory and swap of the machine now. available_bytes: free, or can be had at once."""
    now, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "total_bytes": now.total,
        "free_bytes": now.free,
        "available_bytes": now.available,
        "swap_total_bytes": swap.total,
        "swap_used_bytes": swap.used,
    }


def hypervisor(root: Path = ROOT) -> str | None:
    """What the machine is virtual by, `yes` where it does not say more; None for real ones."""
    if kind := read_text(root / "sys/hypervisor/type"):
        return kind
    if "hypervisor" not in read_pairs(root / "proc/cpuinfo", ":").get("flags", "").split():
        return None
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor")
    product = read_text(root / "sys/class/dmi/id/product_name")
    return " ".join(filter(None, (vendor, product))) or "yes"


def container(root: Path = ROOT) -> str | None:
    """By what this process is contained, as far as there are signs of it."""
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    groups = read_text(root / "proc/self/cgroup") or ""
    return next((word for word in _CONTAINER_WORDS if word in groups), None)
