"""Which delivery tags can be acknowledged, and how many deliveries to ask for."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PREFETCH = 500


@dataclass(frozen=True, slots=True)
class Acks:
    """Tags to acknowledge now.

    upto: acknowledge everything up to this tag in one frame, or None.
    singles: tags beyond it, to acknowledge one by one.
    """

    upto: int | None
    singles: tuple[int, ...]


class AckLedger:
    """Delivery tags of one channel: a broker numbers them 1, 2, 3, …

    `multiple` is only safe up to the highest *contiguous* finished tag: a slow task keeps its own
    delivery, and those finished beyond it are acknowledged singly, so it never holds them back.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._lowest_open = 1
        self._finished: set[int] = set()
        self._acked_beyond: set[int] = set()

    def delivered(self, tag: int) -> None:
        """Note a delivery; in whatever order they are noted."""
        self._highest = max(self._highest, tag)

    def finished(self, tag: int) -> None:
        """Note that a delivery's outcome is durable, so that it may be acknowledged."""
        self._finished.add(tag)

    def due(self) -> Acks:
        """The acknowledgements to send now; each tag is handed out exactly once."""
        upto = None
        while True:
            if self._lowest_open in self._finished:
                self._finished.discard(self._lowest_open)
                upto = self._lowest_open
            elif self._lowest_open in self._acked_beyond:
                self._acked_beyond.discard(self._lowest_open)
            else:
                break
            self._lowest_open += 1
        singles = tuple(sorted(self._finished))
        self._acked_beyond.update(singles)
        self._finished.clear()
        return Acks(upto, singles)

    @property
    def unacknowledged(self) -> int:
        """Deliveries not yet handed out by `due`."""
        return self._highest - (self._lowest_open - 1) - len(self._acked_beyond)


def wanted_prefetch(concurrency: int, completions_per_s: float) -> int:
    """Deliveries a worker should hold: enough for a quarter of a second at its recent pace.

    Never fewer than two rounds of its own concurrency (so no slot waits for the network), never
    more than 500 (so that a burst is shared with workers that join later). Rounded up to a
    doubling of the minimum, because every change means consuming again.
    """
    wanted = 2 * concurrency
    while wanted < MAX_PREFETCH and wanted < 0.25 * completions_per_s:
        wanted *= 2
    return min(wanted, MAX_PREFETCH)


def claim_room(concurrency: int, completions_per_s: float, unstarted: int) -> int:
    """How many more tasks a worker may claim: it keeps about 50 ms of work ahead of itself.

    What it does not claim stays a plain delivery, which costs nothing to hand back.
    """
    ahead = max(2 * concurrency, int(0.05 * completions_per_s))
    return max(0, ahead - unstarted)
