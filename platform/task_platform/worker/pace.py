"""How fast this worker finishes tasks, over the last moments."""

from __future__ import annotations

# Rises at once (a new burst must not wait for deliveries), falls over a few seconds.
_KEEP = 0.93
# Long enough to tell a rate, short enough to lose nothing: with intervals of 0.1 s only, the first
# third of a second after a rest goes at four fifths of the pace.
_EARLIEST_S = 0.01


class Pace:
    """Completions per second: the present rate, or a slowly fading memory of a higher one.

    one_round: tasks that run at once. When they began together they end together, which tells
        nothing of the rate: only what an interval brings beyond that counts.
    """

    def __init__(self, one_round: int) -> None:
        self._one_round = one_round
        self._completions = 0
        self._last_tick: float | None = None
        self.per_s = 0.0

    def count(self, completions: int, now: float) -> bool:
        """Note completions; True where they are so many that the interval is closed with them.

        now: monotonic seconds.
        """
        self._completions += completions
        is_leap = (
            self._last_tick is not None
            and now - self._last_tick >= _EARLIEST_S
            and self._rate(now - self._last_tick) > 2 * self.per_s
        )
        if is_leap:
            self.tick(now)
        return is_leap

    def tick(self, now: float) -> None:
        """Close an interval. now: monotonic seconds."""
        if self._last_tick is not None and now > self._last_tick:
            self.per_s = max(self._rate(now - self._last_tick), self.per_s * _KEEP)
        self._completions = 0
        self._last_tick = now

    def _rate(self, interval_s: float) -> float:
        return max(0, self._completions - self._one_round) / interval_s

    def forget(self) -> None:
        """Forget the burst: what is in hand goes on more slowly."""
        self.per_s = 0.0
