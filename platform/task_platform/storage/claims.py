"""Claims and their leases: who may run a task, and for how long."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from task_platform.domain.task import ClaimedTask
from task_platform.domain.transitions import Event, sources, target
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.rows import claimed_task_from_row

_CLAIM_FROM, _CLAIM_TO = sources(Event.CLAIMED), target(Event.CLAIMED)
_EXPIRE_FROM, _EXPIRE_TO = sources(Event.LEASE_EXPIRED), target(Event.LEASE_EXPIRED)
_RETURN_FROM, _RETURN_TO = sources(Event.GIVEN_BACK), target(Event.GIVEN_BACK)


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    claim_id: the lease that covers `tasks`; None when nothing was taken.
    must_be_alone: tasks that were left, because they may only be claimed alone, each with the
        number of workers that were lost with it so far.
    Ids in neither cannot be claimed by this delivery.
    """

    claim_id: int | None
    tasks: tuple[ClaimedTask, ...]
    must_be_alone: Mapping[UUID, int]


async def claim_tasks(
    pool: Pool,
    ids: Collection[UUID],
    *,
    owner: str,
    lease_s: float,
    alone: bool = False,
    in_company: bool = False,
) -> Claim:
    """Take what can be taken of these tasks under one lease. Raises DatabaseUnavailable.

    alone: also take tasks that may only be claimed alone, and charge them for a loss.
    in_company: something runs beside them all the same, so that a loss is not charged.
    """
    rows = await fetch(
        pool,
        "claim_tasks",
        list(ids),
        _CLAIM_FROM,
        _CLAIM_TO,
        owner,
        lease_s,
        alone,
        in_company,
    )
    taken = [row for row in rows if row["fence"] is not None]
    return Claim(
        claim_id=taken[0]["claim_id"] if taken else None,
        tasks=tuple(claimed_task_from_row(row) for row in taken),
        must_be_alone={row["id"]: row["losses"] for row in rows if row["fence"] is None},
    )


async def existing_tasks(pool: Pool, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that have a row. Raises DatabaseUnavailable."""
    return {row["id"] for row in await fetch(pool, "existing_tasks", list(ids))}


async def renew_claims(
    pool: Pool, claim_ids: Collection[int], *, owner: str, lease_s: float
) -> set[int]:
    """Lengthen these leases; returns those that still exist. Raises DatabaseUnavailable."""
    rows = await fetch(pool, "renew_claims", owner, list(claim_ids), lease_s)
    return {row["id"] for row in rows}


async def give_back(
    pool: Pool,
    tasks: Sequence[ClaimedTask],
    *,
    closed_claims: Sequence[int],
    after_s: float = 0.0,
) -> set[UUID]:
    """Return tasks uncharged, to be announced `after_s` from now. Returns those still held."""
    rows = await fetch(
        pool,
        "give_back",
        [task.id for task in tasks],
        [task.fence for task in tasks],
        _RETURN_FROM,
        _RETURN_TO,
        list(closed_claims),
        after_s,
        [task.charge for task in tasks],
    )
    return {row["id"] for row in rows}


async def give_back_unknown(pool: Pool, *, owner: str, known_claims: Collection[int]) -> set[UUID]:
    """Return the tasks of the owner's claims that it does not know of, uncharged.

    Raises DatabaseUnavailable.
    """
    rows = await fetch(
        pool, "give_back_unknown", owner, list(known_claims), _RETURN_FROM, _RETURN_TO
    )
    return {row["id"] for row in rows}


async def hand_on(pool: Pool, ids: Collection[UUID]) -> set[UUID]:
    """Announce those of the tasks again that wait to be claimed. Returns those that have a row.

    Raises DatabaseUnavailable.
    """
    return {row["id"] for row in await fetch(pool, "hand_on", list(ids), _CLAIM_FROM)}


async def expire_leases(
    pool: Pool, *, limit: int = 100, until: datetime | None = None
) -> tuple[int, int]:
    """Bring back the tasks of lost claims; returns how many (claims, tasks).

    until: nothing is ended after this instant: a statement may have been held up on its way.
    """
    (row,) = await fetch(pool, "expire_leases", _EXPIRE_FROM, _EXPIRE_TO, limit, until)
    return row["claims"], row["tasks"]


async def bury_rowless(pool: Pool, task_id: UUID) -> None:
    """Dead-letter a message that names no task. Raises DatabaseUnavailable."""
    await fetch(pool, "bury_rowless", task_id)
