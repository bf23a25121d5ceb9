"""The processor: what it is, how many of its cores are ours, and what may change its speed."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from task_lab.collect.kernel_files import ROOT, read_number, read_pairs, read_text

_CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def cpu_model(root: Path = ROOT) -> str:
    """Its name as the kernel has it; `unknown` where nobody tells."""
    return _cpuinfo(root).get("model name") or platform.processor() or "unknown"


def processor(root: Path = ROOT) -> dict[str, Any]:
    """What may make the same code run at another speed; None for what the kernel does not tell.

    affinity: numbers of the cores that this process may use. frequency_mhz: of core 0.
    steal_share: of the time since the boot, what the hypervisor gave to others.
    """
    return {
        "architecture": platform.machine(),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "affinity": sorted(os.sched_getaffinity(0)),
        "frequency_mhz": _frequency_mhz(root),
        "driver": read_text(root / _CPUFREQ / "scaling_driver"),
        "governor": read_text(root / _CPUFREQ / "scaling_governor"),
        "turbo": _turbo(root),
        "hyper_threading": _as_bool(read_number(root / "sys/devices/system/cpu/smt/active")),
        "isolated_cores": read_text(root / "sys/devices/system/cpu/isolated") or None,
        "microcode": _cpuinfo(root).get("microcode"),
        "temperature_c": _temperature_c(),
        "steal_share": _steal_share(),
    }


def _cpuinfo(root: Path) -> dict[str, str]:
    return read_pairs(root / "proc/cpuinfo", ":")


def _frequency_mhz(root: Path) -> dict[str, float | None]:
    """Now, and the bounds that are set; without those the kernel still tells the present one."""
    khz = {
        name: read_number(root / _CPUFREQ / f"scaling_{file}_freq")
        for name, file in (("now", "cur"), ("min", "min"), ("max", "max"))
    }
    found = {name: None if value is None else value / 1000 for name, value in khz.items()}
    if found["now"] is None and (told := _cpuinfo(root).get("cpu MHz")):
        found["now"] = float(told)
    return found


def _turbo(root: Path) -> bool | None:
    """Whether cores may run faster than their nominal frequency for a while."""
    cpus = root / "sys/devices/system/cpu"
    is_off = _as_bool(read_number(cpus / "intel_pstate/no_turbo"))
    if is_off is not None:
        return not is_off
    return _as_bool(read_number(cpus / "cpufreq/boost"))


def _as_bool(number: int | None) -> bool | None:
    return None if number is None else number > 0


def _temperature_c() -> float | None:
    """Of the hottest core."""
    # Not on every system that psutil knows.
    sensors: Mapping[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    known = [
        reading.current
        for name in ("coretemp", "k10temp", "cpu_thermal")
        for reading in sensors.get(name, ())
    ]
    return max(known, default=None)


def _steal_share() -> float | None:
    times = psutil.cpu_times()
    steal, total = getattr(times, "steal", None), sum(times)
    return None if steal is None or not total else round(steal / total, 5)
