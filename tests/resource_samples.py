"""Writes lines of resources.jsonl as the sampler does, with made-up use: no processes needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

START = 1_760_000_000.0
EVERY_S = 0.5


@dataclass
class Part:
    """One part: cores busy, private memory, first process, and when (seconds) it runs.

    restarts: seconds at which it is another process, whose counters are at 0.
    """

    cores: float = 0.5
    private_bytes: int = 50 * 2**20
    shared_bytes: int = 20 * 2**20
    written_per_s: float | None = 1e6
    fds: int = 20
    begins: float = 0.0
    ends: float = float("inf")
    restarts: Sequence[float] = field(default_factory=list)

    def at(self, second: float) -> dict[str, Any] | None:
        """What a sample says of it; None while it does not run."""
        if not self.begins <= second < self.ends:
            return None
        lives = [moment for moment in self.restarts if moment <= second]
        age = second - (lives[-1] if lives else self.begins)
        written = None if self.written_per_s is None else int(self.written_per_s * age)
        return {
            "roots": [1000 + len(lives)],
            "processes": 1,
            "cpu_s": round(self.cores * age, 6),
            "rss_bytes": self.private_bytes + self.shared_bytes,
            "private_bytes": self.private_bytes,
            "shared_bytes": self.shared_bytes,
            "fds": self.fds,
            "threads": 1,
            "read_bytes": 0,
            "written_bytes": written,
            "voluntary_switches": None,
            "involuntary_switches": None,
        }


def lines(
    parts: Mapping[str, Part],
    seconds: float,
    *,
    missing: tuple[float, float] = (0.0, 0.0),
    steal: float = 0.0,
    cores: int = 2,
) -> list[dict[str, Any]]:
    """Samples every half second. missing: no sample strictly inside this span of seconds.

    steal: share of each core's time; 0.4 more than what the parts use is busy with other things.
    """
    found: list[dict[str, Any]] = []
    busy_s = 0.0
    for number in range(int(seconds / EVERY_S) + 1):
        second = number * EVERY_S
        groups = {name: use for name, part in parts.items() if (use := part.at(second))}
        if number:
            busy_s += EVERY_S * (0.4 + sum(parts[name].cores for name in groups))
        if missing[0] < second < missing[1]:
            continue
        whole_s = cores * second
        found.append(
            {
                "at": START + second,
                "monotonic_s": 100.0 + second,
                "every_s": EVERY_S,
                "machine": {
                    "cpu": {
                        "busy_s": [busy_s / cores] * cores,
                        "idle_s": [(whole_s * (1 - steal) - busy_s) / cores] * cores,
                        "iowait_s": [0.0] * cores,
                        "steal_s": [whole_s * steal / cores] * cores,
                    },
                    "memory_available_bytes": 8 * 2**30,
                    "swap_used_bytes": 0,
                    "disk_read_bytes": 0,
                    "disk_written_bytes": int(second * 5e6),
                    "loopback_bytes": None,
                },
                "groups": groups,
                "took_s": 0.004,
                "cost_s": 0.005 * (number + 1),
            }
        )
    return found
