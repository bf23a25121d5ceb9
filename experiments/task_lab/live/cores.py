"""How many cores each part of the stack uses now, from the CPU seconds in resources.jsonl. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

# Long enough for the hundredths of seconds that a kernel counts in.
_OVER_S = 2.0
# Samples older than that say nothing about this moment.
_HOLDS_S = 5.0


class Cores:
    """CPU use over the last two seconds of samples."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, float], float, int]] = deque()

    def sample(self, sample: Mapping[str, Any]) -> None:
        """Take a line of resources.jsonl; one without counters is left out."""
        try:
            groups = {name: float(one["cpu_s"]) for name, one in sample["groups"].items()}
            busy_s = [float(core) for core in sample["machine"]["cpu"]["busy_s"]]
            at = float(sample["at"])
        except (LookupError, TypeError, ValueError, AttributeError):
            return
        self._samples.append((at, groups, sum(busy_s), len(busy_s)))
        while len(self._samples) > 2 and self._samples[1][0] <= at - _OVER_S:
            self._samples.popleft()

    def used(self, now: float) -> dict[str, float]:
        """Cores in use by part, most first; none where nobody looked lately.

        A part whose counter fell was started anew, and is left out until it was seen twice.
        """
        if not self._is_fresh(now):
            return {}
        (first_at, before, _, _), (last_at, after, _, _) = self._samples[0], self._samples[-1]
        used = {
            name: (cpu_s - before[name]) / (last_at - first_at)
            for name, cpu_s in after.items()
            if name in before and cpu_s >= before[name]
        }
        return dict(sorted(used.items(), key=lambda pair: -pair[1]))

    def busy(self, now: float) -> tuple[float, int] | None:
        """Cores of the machine that work, for whomever, and how many there are."""
        if not self._is_fresh(now):
            return None
        (first_at, _, before_s, _), (last_at, _, after_s, count) = (
            self._samples[0],
            self._samples[-1],
        )
        return max(0.0, (after_s - before_s) / (last_at - first_at)), count

    def _is_fresh(self, now: float) -> bool:
        if len(self._samples) < 2 or self._samples[-1][0] <= self._samples[0][0]:
            return False
        return self._samples[-1][0] >= now - _HOLDS_S
