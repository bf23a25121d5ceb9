"""How fast this worker finishes tasks, over the last moments."""

from __future__ import annotations

# Rises at once (a new burst must not wait for deliveries), falls over a few seconds.
_KEEP = 0.93


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

    def count(self, completions: int) -> None:
        """Note completions since the last tick."""
        self._completions += completions

    def tick(self, now: float) -> None:
        """Close an interval. now: monotonic seconds."""
        if self._last_tick is not None and now > self._last_tick:
            beyond = max(0, self._completions - self._one_round)
            rate = beyond / (now - self._last_tick)
            self.per_s = max(rate, self.per_s * _KEEP)
        self._completions = 0
        self._last_tick = now

    def forget(self) -> None:
        """Forget the burst: what is in hand goes on more slowly."""
        self.per_s = 0.0
