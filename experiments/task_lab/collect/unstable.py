"""Why figures of a machine are shaky. Pure, from what run.json says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LOAD_OF_OTHERS = 0.5
_STEAL_SHARE = 0.01


def unstable(machine: Mapping[str, Any], steal_share: float | None = None) -> list[str]:
    """The reasons, as sentences for people; empty where there is none, or nothing is known.

    machine: as `machine()` found it before anything was started, runs of earlier versions
    included. steal_share: over the run, 0 to 1; None takes the one since the boot.
    """
    processor, limits = machine.get("processor") or {}, machine.get("limits") or {}
    load = (machine.get("load") or {}).get("load_average")
    swapped = (machine.get("memory") or {}).get("swap_used_bytes")
    governor, quota = processor.get("governor"), limits.get("cpu_quota_cores")
    stolen = processor.get("steal_share") if steal_share is None else steal_share
    since = "since the boot" if steal_share is None else "over the run"
    told = (
        governor not in (None, "performance")
        and f"the frequency governor is {governor}, not performance: cores change their speed",
        processor.get("turbo")
        and "turbo is on: cores run faster while they are cool and few are busy",
        load
        and load[0] > _LOAD_OF_OTHERS
        and f"the load average was {load[0]:.2f} before the start: something else was busy",
        quota is not None
        and f"processor time is limited to {quota:g} cores: processes are stopped at the limit",
        stolen is not None
        and stolen > _STEAL_SHARE
        and f"the hypervisor gave {stolen:.1%} of the time {since} to others",
        swapped and f"swap is in use, {swapped / 2**20:,.0f} MiB of it: some pages are on disk",
    )
    return [reason for reason in told if reason]
