"""What one drain of a pre-filled queue comes to, whichever system it was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drained:
    """A drain by the one clock: from the workers' release to the last committed result.

    released_at, ended_at: unix seconds.
    """

    tasks: int
    released_at: float
    ended_at: float

    @property
    def per_s(self) -> float:
        """Tasks per second; 0 where the clocks disagree, so that it never looks fast."""
        duration_s = self.ended_at - self.released_at
        return self.tasks / duration_s if duration_s > 0 else 0.0
