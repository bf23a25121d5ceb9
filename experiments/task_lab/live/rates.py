"""How often something happened, second by second: for a curve, and for the rate of this moment.

Pure: times come from the caller, in unix seconds, and need not be in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

WINDOW_S = 60
_PARTS = 10


class Pace:
    """Counts of what happened, by second for ever and by tenth of a second for the last moments."""

    def __init__(self) -> None:
        self._by_second: Counter[int] = Counter()
        self._by_part: Counter[int] = Counter()

    def add(self, at: float, count: int = 1) -> None:
        """Note `count` occurrences."""
        self._by_second[int(at)] += count
        self._by_part[int(at * _PARTS)] += count

    def per_s(self, now: float) -> float:
        """Occurrences within the last whole second before `now`, to a tenth of a second."""
        last = int(now * _PARTS)
        for part in [part for part in self._by_part if part < last - 2 * _PARTS]:
            del self._by_part[part]
        return float(sum(self._by_part[part] for part in range(last - _PARTS, last)))

    def last(
        self, now: float, seconds: int = WINDOW_S, *, since: float = 0.0
    ) -> list[float | None]:
        """Occurrences in each of the last whole seconds before `now`, oldest first.

        since: when counting began; a second that ended before has None.
        """
        return [
            float(self._by_second[second]) if second + 1 > since else None
            for second in range(int(now) - seconds, int(now))
        ]

    def curve(self) -> list[tuple[int, float]]:
        """Occurrences of every second from the first to the last one in which there were any."""
        if not self._by_second:
            return []
        first, last = min(self._by_second), max(self._by_second)
        return [(second, float(self._by_second[second])) for second in range(first, last + 1)]


class Level:
    """The highest value that something had, second by second. A second nobody looked at is None."""

    def __init__(self) -> None:
        self._by_second: dict[int, float] = {}
        self.latest: float | None = None
        self.latest_at = 0.0

    def set(self, at: float, value: float | None) -> None:
        """Note the value; None says that it cannot be known now."""
        if at >= self.latest_at:
            self.latest, self.latest_at = value, at
        if value is not None:
            second = int(at)
            self._by_second[second] = max(value, self._by_second.get(second, value))

    def last(self, now: float, seconds: int = WINDOW_S) -> list[float | None]:
        """The value in each of the last whole seconds before `now`, oldest first."""
        end = int(now)
        return [self._by_second.get(second) for second in range(end - seconds, end)]

    def curve(self) -> list[tuple[int, float]]:
        """Every second with a value, in order."""
        return sorted(self._by_second.items())


def resampled(values: Sequence[float | None], columns: int) -> list[float | None]:
    """The values on another number of columns: the highest of those that share one, or repeated."""
    found: list[float | None] = []
    for column in range(columns):
        first = column * len(values) // columns
        end = max(first + 1, (column + 1) * len(values) // columns)
        known = [value for value in values[first:end] if value is not None]
        found.append(max(known) if known else None)
    return found
