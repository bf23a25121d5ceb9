"""Tasks that may have killed their worker: they run alone, but not at any price."""

from __future__ import annotations

_MOST_DOUBLINGS = 8


def patience_s(lease_s: float, losses: int) -> float:
    """How long the neighbours of a task that must run alone may go on, counted from their start.

    A task that is lost in company pays nothing for it. To make it pay in the end, it waits twice as
    long after each loss, until its neighbours are over; the first wait is one lease.

    losses: how many workers were lost with the task.
    """
    return float(lease_s * 2 ** min(max(0, losses - 1), _MOST_DOUBLINGS))
