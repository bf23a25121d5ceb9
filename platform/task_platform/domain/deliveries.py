"""Which delivery tags can be acknowledged, how many deliveries to ask for, which to give back."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

MAX_PREFETCH = 1_000
# Deliveries unstarted for so long are more than a worker can use.
SURPLUS_AFTER_S = 1.0
_LONGEST_PAUSE_S = 30.0


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
        # Acknowledged beyond the lowest open tag, as ranges that do not touch: there are never more
        # than open deliveries, while millions may be acknowledged behind one slow task.
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._acked_beyond = 0

    def delivered(self, tag: int) -> None:
        """Note the deliveries up to this tag; in whatever order they are noted."""
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
                self._lowest_open += 1
            elif self._firsts and self._firsts[0] == self._lowest_open:
                last = self._lasts.pop(0)
                self._acked_beyond -= last + 1 - self._firsts.pop(0)
                self._lowest_open = last + 1
            else:
                break
        singles = tuple(sorted(self._finished))
        for tag in singles:
            self._note_beyond(tag)
        self._finished.clear()
        return Acks(upto, singles)

    @property
    def lowest_open(self) -> int:
        """The lowest tag not yet handed out by `due`, delivered or not."""
        return self._lowest_open

    @property
    def highest(self) -> int:
        """The highest tag noted."""
        return self._highest

    def has_open(self, after: int, upto: int) -> bool:
        """Whether any tag of after < tag <= upto has not been handed out by `due`."""
        first = max(after + 1, self._lowest_open)
        if first > upto:
            return False
        place = bisect_right(self._firsts, first)
        return place == 0 or self._lasts[place - 1] < upto

    @property
    def unacknowledged(self) -> int:
        """Deliveries not yet handed out by `due`."""
        return self._highest - (self._lowest_open - 1) - self._acked_beyond

    def _note_beyond(self, tag: int) -> None:
        self._acked_beyond += 1
        place = bisect_right(self._firsts, tag)
        follows = place > 0 and self._lasts[place - 1] == tag - 1
        precedes = place < len(self._firsts) and self._firsts[place] == tag + 1
        if follows and precedes:
            self._lasts[place - 1] = self._lasts.pop(place)
            self._firsts.pop(place)
        elif follows:
            self._lasts[place - 1] = tag
        elif precedes:
            self._firsts[place] = tag
        else:
            self._firsts.insert(place, tag)
            self._lasts.insert(place, tag)


def wanted_prefetch(concurrency: int, completions_per_s: float) -> int:
    """Deliveries a worker should hold: enough for a quarter of a second at its recent pace.

    Never fewer than two rounds of its own concurrency (so no slot waits for the network), never
    more than MAX_PREFETCH (so that a burst is shared with workers that join later). Rounded up to a
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


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker has had in hand, unstarted, for longer than it should.

    delivered: deliveries not claimed yet. claimed: tasks waiting for a slot. set_aside: deliveries
    of tasks that must run alone.
    """

    delivered: int
    claimed: int
    set_aside: int

    @property
    def total(self) -> int:
        return self.delivered + self.claimed + self.set_aside


def surplus(held: Held, usable_slots: int) -> Held:
    """What a worker should give back, so that others can start it.

    It keeps one task for each slot that it will be able to use, and one of those that must run
    alone. Plain deliveries go first: nothing has to be undone for them.
    """
    too_many = max(0, held.delivered + held.claimed - usable_slots)
    delivered = min(held.delivered, too_many)
    return Held(delivered, too_many - delivered, max(0, held.set_aside - 1))


def others_idle(ready: int, consumers: int) -> bool:
    """Whether somebody else may be without work: a ready message would have gone to them first."""
    return ready == 0 and consumers > 1


def pause_until_next_look(pause_s: float, *, gave_back: int, before: int) -> float:
    """How long to wait after a look that gave back so many, when the last one gave `before`.

    Part of what is given back comes round again, but ever less while others idle. A worker cannot
    see whether they are idle or just as full, and must not play ping-pong: where it does not become
    less, it looks ever more rarely.
    """
    is_dwindling = 4 * gave_back <= 3 * before or before == 0
    return SURPLUS_AFTER_S if is_dwindling else min(_LONGEST_PAUSE_S, 2 * pause_s)
