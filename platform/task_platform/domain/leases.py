"""When a lease may be ended: only by somebody who would have seen its owner renew it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Watch:
    """How long the leases have been watched without a gap, by the database's clock.

    While the database is away nobody can renew. When it returns every lease may have run out, and
    the workers that hold them may be alive and well: each gets the time of one lease to say so.
    """

    lease_s: float
    since: datetime | None = None
    seen_at: datetime | None = None

    def seen(self, now: datetime) -> Watch:
        """The watch after one more look at the database."""
        is_unbroken = self.seen_at is not None and now <= self.seen_at + self._longest_gap
        return Watch(self.lease_s, self.since if is_unbroken else now, now)

    @property
    def ends_until(self) -> datetime | None:
        """Until when leases may be ended on the strength of the last look; None: not yet."""
        if self.since is None or self.seen_at is None:
            return None
        if self.seen_at < self.since + timedelta(seconds=self.lease_s):
            return None
        return self.seen_at + self._longest_gap

    @property
    def _longest_gap(self) -> timedelta:
        # Renewals happen at least twice in a lease: a shorter gap costs nobody a lease.
        return timedelta(seconds=self.lease_s / 2)
