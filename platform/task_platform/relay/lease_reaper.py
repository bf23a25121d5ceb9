"""The reaper: the only one who ends a lease, and brings back what lost workers held."""

from __future__ import annotations

import structlog

from task_platform.domain.leases import Watch
from task_platform.metrics import RelayMetrics
from task_platform.settings import Settings
from task_platform.storage.claims import expire_leases
from task_platform.storage.health import database_now
from task_platform.storage.pool import Pool

log = structlog.get_logger()

# Claims of one statement. Most are of one to a few hundred tasks.
_AT_ONCE = 100


class LeaseReaper:
    """Watches the leases. It ends one only after it has watched for as long as a lease lasts."""

    def __init__(self, pool: Pool, settings: Settings, metrics: RelayMetrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._watch = Watch(settings.lease_s)

    async def run_pass(self) -> bool:
        """Bring back what was lost; whether there may be more. Raises DatabaseUnavailable."""
        self._watch = self._watch.seen(await database_now(self._pool))
        until = self._watch.ends_until
        if until is None:
            return False
        lost_claims, tasks = await expire_leases(self._pool, limit=_AT_ONCE, until=until)
        if lost_claims:
            self._metrics.leases_expired.inc(lost_claims)
            self._metrics.tasks_recovered.inc(tasks)
            log.warning("leases ran out", claims=lost_claims, tasks_brought_back=tasks)
        return lost_claims == _AT_ONCE
