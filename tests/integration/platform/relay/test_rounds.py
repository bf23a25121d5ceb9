"""Rounds of the relay: each is over before anybody else may take its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import pytest
from task_platform.announcer import announce
from task_platform.broker.publisher import PIPELINE, Publisher
from task_platform.relay import process
from task_platform.settings import Settings
from task_platform.storage.outbox import OutboxRow, claim_outbox_rows
from task_platform.storage.pool import Pool

from ....factories import some_ids
from ..processes import running_relay, sample, send, until, until_messages


class SlowPublisher(Publisher):
    """Confirms so many messages, each batch of them after a while."""

    def __init__(self, settings: Settings, *, takes_s: float = 0.0, confirms: int = 1_000_000):
        super().__init__(settings, name="test")
        self.takes_s, self.confirms = takes_s, confirms
        self.sent: list[UUID] = []

    async def publish(self, queue: str, task_ids: Sequence[UUID]) -> set[UUID]:
        await asyncio.sleep(self.takes_s)
        confirmed = list(task_ids)[: self.confirms - len(self.sent)]
        self.sent += confirmed
        return set(confirmed)


async def taken_rows(pool: Pool, *sizes: int) -> list[OutboxRow]:
    """Rows of these sizes, in order, and hidden for an hour."""
    for size in sizes:
        await pool.execute(
            "insert into outbox (queue, task_ids, due_at, available_at) "
            "values ('tasks', $1, now(), now())",
            some_ids(size),
        )
    rows = await claim_outbox_rows(pool, queue="tasks", limit=len(sizes), hide_s=3_600)
    return sorted(rows, key=lambda row: row.id)


async def left(pool: Pool) -> list[tuple[int, int, bool]]:
    """What the outbox holds: (row, messages, whether a relay may take it)."""
    return [
        tuple(row)
        for row in await pool.fetch(
            "select id, cardinality(task_ids), available_at <= now() from outbox order by id"
        )
    ]


async def test_what_a_round_does_not_reach_in_its_time_is_there_for_the_next(
    settings: Settings, pool: Pool
) -> None:
    done, cut, behind = await taken_rows(pool, 400, 3 * PIPELINE, 2_000)
    publisher = SlowPublisher(settings, takes_s=0.3)
    sent, remaining = await announce(
        pool, publisher, [done, cut, behind], retry_in_s=3_600, ends_at=monotonic() + 0.5
    )
    assert (sent, remaining) == (2 * PIPELINE, 400 + 3 * PIPELINE + 2_000 - sent)
    assert len(publisher.sent) == sent
    rest = 400 + 3 * PIPELINE - sent
    assert await left(pool) == [(cut.id, rest, True), (behind.id, 2_000, True)]


async def test_a_round_whose_time_is_over_sends_nothing(settings: Settings, pool: Pool) -> None:
    rows = await taken_rows(pool, 3, 2)
    publisher = SlowPublisher(settings)
    assert await announce(pool, publisher, rows, retry_in_s=3_600, ends_at=monotonic()) == (0, 5)
    assert publisher.sent == []
    assert await left(pool) == [(rows[0].id, 3, True), (rows[1].id, 2, True)]


async def test_what_comes_behind_a_refused_message_waits_as_it_does(
    settings: Settings, pool: Pool
) -> None:
    done, refused, behind = await taken_rows(pool, 2_000, 2_000, 2_000)
    publisher = SlowPublisher(settings, confirms=2_100)
    assert await announce(pool, publisher, [done, refused, behind], retry_in_s=3_600) == (
        2_100,
        3_900,
    )
    assert await left(pool) == [(refused.id, 1_900, False), (behind.id, 2_000, False)]


async def test_each_portion_is_settled_before_the_next_is_sent(
    settings: Settings, pool: Pool
) -> None:
    rows = await taken_rows(pool, 1_500, 1_000, 1_000, 1_000)
    publisher = SlowPublisher(settings, takes_s=0.2)
    round_ = asyncio.ensure_future(announce(pool, publisher, rows, retry_in_s=3_600))

    async def is_settled() -> bool:
        return len(await left(pool)) == 3

    await until(is_settled)
    assert len(publisher.sent) < 4_500
    assert await round_ == (4_500, 0)


async def test_two_relays_share_many_rounds_and_repeat_nothing_ob08(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_ROUND_S", 0.3)
    publish = Publisher.publish

    async def slowly(publisher: Publisher, queue: str, ids: Sequence[UUID]) -> set[UUID]:
        await asyncio.sleep(0.05)
        return await publish(publisher, queue, ids)

    monkeypatch.setattr(Publisher, "publish", slowly)
    await send(settings)
    total = 6 * 2 * PIPELINE
    await pool.executemany(
        "insert into outbox (queue, task_ids, due_at, available_at) "
        "values ('tasks', $1, now(), now())",
        [(some_ids(2 * PIPELINE),) for _ in range(6)],
    )
    async with running_relay(settings, pool) as one, running_relay(settings, pool) as other:

        async def are_sent() -> bool:
            return not await left(pool)

        await until(are_sent, within_s=30)
    assert sum(sample(relay, "relay_announced_total") for relay in (one, other)) == total
    await until_messages(settings, total)
