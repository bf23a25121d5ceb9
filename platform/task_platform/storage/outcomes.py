"""Finishing attempts: a batch of outcomes becomes durable in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from task_platform.domain.task import ClaimedTask
from task_platform.domain.transitions import Event, sources, target
from task_platform.storage.pool import Pool, fetch
from task_platform.storage.transactions import Connection, fetch_on

_DONE_FROM, DONE_STATE = sources(Event.COMPLETED), target(Event.COMPLETED)
_RETRY_FROM, _RETRY_TO = sources(Event.FAILED_RETRYABLE), target(Event.FAILED_RETRYABLE)
_DEAD_FROM, _DEAD_TO = sources(Event.EXHAUSTED), target(Event.EXHAUSTED)


class Success(msgspec.Struct, frozen=True):
    """An attempt that succeeded. result: JSON text. Times are by the database's clock.

    is_committed: it is recorded already, in the handler's own transaction.
    """

    task: ClaimedTask
    result: str
    started_at: datetime
    service_s: float
    is_committed: bool = False

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.service_s)


class Failure(msgspec.Struct, frozen=True):
    """An attempt that did not.

    retry_in_s: seconds until the next attempt, or None when there will be none.
    """

    task: ClaimedTask
    error_type: str
    message: str
    retry_in_s: float | None
    started_at: datetime
    ended_at: datetime

    @property
    def is_dead(self) -> bool:
        return self.retry_in_s is None


async def finish_succeeded(
    pool: Pool, successes: Sequence[Success], *, closed_claims: Sequence[int]
) -> set[UUID]:
    """Record successes; returns the ids that were still ours.

    Raises DatabaseUnavailable, BadData.
    """
    rows = await fetch(pool, "finish_succeeded", *_done(successes), list(closed_claims))
    return {row["id"] for row in rows}


async def finish_in_transaction(connection: Connection, success: Success) -> bool:
    """Record a success in a transaction of the caller's; whether the task was still ours.

    The claim is left to whoever closes it. Raises DatabaseUnavailable, BadData.
    """
    return bool(await fetch_on(connection, "finish_succeeded", *_done([success]), []))


async def committed_outcomes(pool: Pool, outcomes: Sequence[Success | Failure]) -> set[UUID]:
    """Tasks whose outcome, of these very executions, is recorded. Raises DatabaseUnavailable.

    For when the answer to a commit was lost.
    """
    rows = await fetch(
        pool,
        "committed_outcomes",
        [outcome.task.id for outcome in outcomes],
        [outcome.task.fence for outcome in outcomes],
        DONE_STATE,
    )
    return {row["id"] for row in rows}


async def finish_unsuccessful(
    pool: Pool, failures: Sequence[Failure], *, worker: str, closed_claims: Sequence[int]
) -> set[UUID]:
    """Record failed attempts, each retried or dead; returns the ids that were still ours."""
    rows = await fetch(
        pool,
        "finish_unsuccessful",
        [failure.task.id for failure in failures],
        [failure.task.fence for failure in failures],
        [failure.is_dead for failure in failures],
        [failure.retry_in_s or 0.0 for failure in failures],
        [error_json(failure.error_type, failure.message) for failure in failures],
        [failure.error_type for failure in failures],
        [failure.message for failure in failures],
        [failure.started_at for failure in failures],
        [failure.ended_at for failure in failures],
        worker,
        _RETRY_FROM,
        _RETRY_TO,
        _DEAD_FROM,
        _DEAD_TO,
        list(closed_claims),
    )
    return {row["id"] for row in rows}


def _done(successes: Sequence[Success]) -> tuple[Any, ...]:
    return (
        [success.task.id for success in successes],
        [success.task.fence for success in successes],
        [success.result for success in successes],
        [success.started_at for success in successes],
        _DONE_FROM,
        DONE_STATE,
    )


def error_json(error_type: str, message: str) -> str:
    """The stored form of an error."""
    return msgspec.json.encode({"type": error_type, "message": message}).decode()
