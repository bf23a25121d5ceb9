"""How much of the machine others used meanwhile: whoever reads a bench has to know."""

from __future__ import annotations

import os
import time

import psutil

from task_lab.bench.cpu import CpuMeter


class Others:
    """Watches the processor from now on: all that is neither this process nor started by it."""

    def __init__(self) -> None:
        self._meter = CpuMeter({"ours": [os.getpid()]})
        self._ours_s, self._all_s, self._at = self._ours(), busy_s(), time.monotonic()

    def cores(self) -> float:
        """Cores that others used since, on average. Ask while what we started still runs.

        The kernel's own work, that of other programs, and that of a neighbour whose machine shares
        these cores.
        """
        ours_s, all_s = self._ours() - self._ours_s, busy_s() - self._all_s
        return max(0.0, all_s - ours_s) / max(time.monotonic() - self._at, 1e-9)

    def _ours(self) -> float:
        return self._meter.read()["ours"]


def busy_s() -> float:
    """Seconds, over all cores, in which a processor was not idle."""
    times = psutil.cpu_times()
    # Guests' time is counted in `user` already.
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)
