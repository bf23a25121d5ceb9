"""Two lists that should agree, one of which is only ever seen in passing: when to act, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

# Looks in a row that must find a difference: one alone may have met a message on its way.
_STANDS_AFTER = 2
# With messages on their way a difference is to be expected, but under a constant flow there are
# always some: after so many looks it is looked into all the same.
_PATIENCE = 5


class Suspicion:
    """Grows while the counts differ, and goes when they agree."""

    def __init__(self) -> None:
        self._looks = 0

    def is_confirmed_by(self, *, listed: int, queued: int, are_underway: bool) -> bool:
        """Note one look; whether the difference has stood for long enough to act.

        are_underway: messages of the list are still to be sent.
        """
        self._looks = 0 if listed == queued else self._looks + 1
        return self._looks >= (_PATIENCE if are_underway else _STANDS_AFTER)

    def drop(self) -> None:
        """Begin anew: somebody acted, or is about to."""
        self._looks = 0


class Tally:
    """Which messages a queue has to hold, and which it was seen to hold."""

    def __init__(self) -> None:
        self._seen: dict[UUID, bool] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def expect(self, ids: Iterable[UUID]) -> None:
        """Note ids that the queue has to hold."""
        for each in ids:
            self._seen.setdefault(each, False)

    def sift(self, ids: Sequence[UUID], still_wanted: Collection[UUID]) -> list[UUID]:
        """Those of the queue's next messages that stay in it: wanted, and seen for the first time.

        An id that was not expected may be wanted all the same: it came onto the list meanwhile.
        """
        kept = []
        for each in ids:
            if each in still_wanted and not self._seen.get(each):
                self._seen[each] = True
                kept.append(each)
        return kept

    def missing(self) -> list[UUID]:
        """Expected, and not seen."""
        return [each for each, was_seen in self._seen.items() if not was_seen]
