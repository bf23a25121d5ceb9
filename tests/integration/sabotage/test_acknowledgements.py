"""Deliveries are acknowledged after the commit, and none that was set aside with its neighbours."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from task_platform.broker.links import Deliveries
from task_platform.domain.deliveries import AckLedger, Acks
from task_platform.handlers.registry import Lane
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.worker.consumer import Consumer
from task_platform.worker.intake import Intake
from task_platform.worker.work import Delivery

from ...factories import handler
from ..histories import submitted
from ..platform.processes import (
    announce,
    running_relay,
    running_worker,
    until_messages,
    until_sample,
    until_state,
)
from .mortal import HOUR_S, expire_leases_now, mortal_worker
from .verdicts import assert_lost_without_protection


async def test_a_delivery_outlives_the_worker_that_had_not_claimed_it(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_protected: bool
) -> None:
    """Deliveries are in the hands of a worker that dies before it claims them: no lease tells of
    them. Sabotage: they are acknowledged on arrival.
    """
    if not is_protected:
        _acknowledge_on_arrival(monkeypatch)
    operations = await submitted(pool, 3)
    async with running_relay(settings, pool):
        with monkeypatch.context() as patch:
            patch.setattr(Intake, "claim_batch", _never)
            async with mortal_worker(settings) as worker:
                await until_sample(worker.service, "worker_tasks_in_flight", 3)
                await worker.broker_has_heard()
        async with running_worker(settings, pool):
            await assert_lost_without_protection(
                settings, operations, lost=3, is_protected=is_protected
            )


async def test_a_delivery_set_aside_is_not_acknowledged_with_its_neighbours(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_protected: bool
) -> None:
    """A task that must run alone is set aside; a neighbour delivered after it finishes, another one
    goes on. Then the worker dies, before it has claimed the one set aside. Sabotage: `multiple`
    reaches up to the highest finished delivery, not only to the contiguous ones.
    """
    if not is_protected:
        monkeypatch.setattr(AckLedger, "due", _up_to_the_highest)

    async def held(_: Any) -> None:
        await asyncio.Event().wait()

    operations = [
        *await submitted(pool, task_type="held", payload={}, grace_s=HOUR_S),
        *await submitted(pool, grace_s=HOUR_S),
        *await submitted(pool, grace_s=HOUR_S),
    ]
    slow, alone, quick = (UUID(one.task_id) for one in operations)
    await pool.execute("update tasks set isolate = true where id = $1", alone)
    await pool.execute("delete from outbox")
    await announce(settings, [slow, alone, quick])
    await until_messages(settings, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Consumer, "take", _patient_take(3))
        doomed = mortal_worker(
            settings, handler("held", held, lane=Lane.LOOP), lease_s=HOUR_S, renew_s=HOUR_S / 2
        )
        async with doomed as worker:
            await until_state(pool, [quick], "SUCCEEDED")
            # What the neighbour's acknowledgement covers is no longer in flight.
            await until_sample(worker.service, "worker_tasks_in_flight", 2 if is_protected else 0)
            await worker.broker_has_heard()
    await expire_leases_now(pool)
    done = handler("held", lambda _: None)
    async with running_relay(settings, pool), running_worker(settings, pool, done):
        await assert_lost_without_protection(
            settings, operations, lost=1, is_protected=is_protected
        )


async def _never(_intake: Intake, _room: int) -> list[Any]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def _acknowledge_on_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Consumer._receive

    async def acknowledge(consumer: Consumer, tags: list[int]) -> None:
        while consumer._channel is None:
            await asyncio.sleep(0)
        await consumer._channel.acknowledge(None, tags)

    def receive_and_acknowledge(consumer: Consumer, messages: Deliveries, generation: int) -> None:
        receive(consumer, messages, generation)
        acks.append(asyncio.ensure_future(acknowledge(consumer, [tag for tag, _ in messages])))

    acks: list[asyncio.Future[None]] = []
    monkeypatch.setattr(Consumer, "_receive", receive_and_acknowledge)


def _up_to_the_highest(ledger: AckLedger) -> Acks:
    highest = max(ledger._finished, default=None)
    if highest is not None:
        ledger._lowest_open = highest + 1
        ledger._finished.clear()
    return Acks(highest, ())


def _patient_take(expected: int) -> Any:
    """Take nothing before so many have arrived, so that they are claimed together."""
    take = Consumer.take
    is_complete = False

    def patient(consumer: Consumer, count: int) -> list[Delivery]:
        nonlocal is_complete
        is_complete = is_complete or len(consumer._inbox) == expected
        return take(consumer, count if is_complete else 0)

    return patient
