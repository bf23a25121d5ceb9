"""The leases of a worker: renewed while their tasks are open, given up when they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from time import monotonic

import structlog

from task_platform.errors import DatabaseUnavailable
from task_platform.metrics import WorkerMetrics
from task_platform.settings import Settings
from task_platform.storage.claims import renew_claims
from task_platform.storage.pool import OUTAGE, Pool, until_available
from task_platform.worker.work import ClaimInHand

log = structlog.get_logger()


class Leases:
    """Every claim this worker has in hand.

    on_lost: called with a claim that the reaper took; its tasks belong to somebody else.
    """

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        metrics: WorkerMetrics,
        *,
        worker: str,
        on_lost: Callable[[ClaimInHand], None],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._metrics = metrics
        self._worker = worker
        self._on_lost = on_lost
        self._in_hand: dict[int, ClaimInHand] = {}
        self._abandoned: set[int] = set()

    def hold(self, claim: ClaimInHand) -> None:
        """Renew this claim from now on."""
        self._in_hand[claim.claim_id] = claim

    def closed(self, claim_id: int) -> None:
        """Forget a claim whose tasks are all finished."""
        self._in_hand.pop(claim_id, None)

    def abandon(self, claim: ClaimInHand) -> None:
        """Let this lease run out, so that the reaper brings back whatever is still open."""
        claim.is_abandoned = True
        if self._in_hand.pop(claim.claim_id, None) is not None:
            self._abandoned.add(claim.claim_id)

    def known(self) -> set[int]:
        """Every claim that this worker has heard of and that may still exist."""
        return self._in_hand.keys() | self._abandoned

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(self._settings.renew_s)
            if not self._in_hand:
                continue
            try:
                await self._renew(list(self._in_hand))
            except DatabaseUnavailable as error:
                # Either the database returns before the lease ends, or the reaper takes over.
                OUTAGE.complain(error, by="leases")
            else:
                OUTAGE.over(by="leases")

    async def is_still_ours(self, claim: ClaimInHand) -> bool:
        """Whether this worker has the claim, however long ago it was made; renews it where so."""
        if claim.may_be_lost(self._settings.lease_s) and not claim.is_lost:
            await until_available(partial(self._renew, [claim.claim_id]), waiting="a claim waits")
        return not claim.is_lost

    async def _renew(self, asked: Collection[int]) -> None:
        asked_mono = monotonic()
        kept = await renew_claims(
            self._pool, asked, owner=self._worker, lease_s=self._settings.lease_s
        )
        for claim_id in kept & self._in_hand.keys():
            self._in_hand[claim_id].renewed_mono = asked_mono
        for claim_id in set(asked) - kept:
            claim = self._in_hand.pop(claim_id, None)
            if claim is not None and claim.open_tasks > 0:
                claim.is_lost = True
                self._metrics.leases_lost.inc()
                log.warning("a lease ran out", claim_id=claim_id, tasks=claim.open_tasks)
                self._on_lost(claim)
