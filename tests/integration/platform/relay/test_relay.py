"""The relay on real services: what was committed is announced, whatever one of its loops meets."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.metrics import RelayMetrics
from task_platform.relay import lease_reaper
from task_platform.relay.lease_reaper import LeaseReaper
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks
from task_platform.storage.pool import Pool, close_pool, open_pool

from ....link import linked_broker, linked_database
from ..processes import (
    delete_queue,
    running_relay,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_sample,
)


async def count(pool: Pool, rows: str) -> int:
    """How many such rows there are."""
    return int(await pool.fetchval(f"select count(*) from {rows}"))


async def test_due_rows_are_sent_and_forgotten_ob02(settings: Settings, pool: Pool) -> None:
    ids = await submit(pool, 10)
    await submit(pool, grace_s=3_600)
    async with running_relay(settings, pool) as relay:

        async def are_sent() -> bool:
            return await count(pool, "outbox") == 1

        await until(are_sent)
    assert sample(relay, "relay_announced_total") == len(ids)
    await until_messages(settings, len(ids))


async def test_a_backlog_drains_at_a_good_rate_ob08(settings: Settings, pool: Pool) -> None:
    for _ in range(40):
        await submit(pool, 250)
    async with running_relay(settings, pool):

        async def are_sent() -> bool:
            return await count(pool, "outbox") == 0

        await until(are_sent, within_s=15)
    await until_messages(settings, 10_000)


async def test_nothing_is_forgotten_while_the_broker_is_away_and_its_age_shows_ob06(
    settings: Settings, pool: Pool
) -> None:
    async with linked_broker(settings) as (link, broken):
        await link.cut()
        ids = await submit(pool, 5)
        await pool.execute("update outbox set due_at = now() - interval '1 minute'")
        async with running_relay(broken, pool) as relay:

            async def is_old() -> bool:
                return sample(relay, "relay_outbox_oldest_age_seconds") > 59

            await until(is_old)
            for _ in range(20):
                await asyncio.sleep(0.05)
                assert await is_old()
            assert await pool.fetchval("select sum(cardinality(task_ids)) from outbox") == 5
            await link.heal()

            async def are_sent() -> bool:
                return await count(pool, "outbox") == 0

            await until(are_sent)

            await until_sample(relay, "relay_outbox_oldest_age_seconds", 0)
    await until_messages(settings, len(ids))


async def test_the_age_grows_while_the_relay_cannot_look_ob06(
    settings: Settings, pool: Pool
) -> None:
    async with linked_database(settings) as (link, broken):
        own_pool = await open_pool(broken, process="relay", size=11)
        try:
            async with running_relay(broken, own_pool) as relay:
                await until_sample(relay, "relay_outbox_oldest_age_seconds", 0)
                await link.cut()

                async def is_told() -> bool:
                    return sample(relay, "relay_outbox_oldest_age_seconds") > 1

                await until(is_told)
                await link.heal()
                await until_sample(relay, "relay_outbox_oldest_age_seconds", 0)
        finally:
            await close_pool(own_pool)


async def test_lost_leases_are_found_although_the_queue_is_of_another_kind(
    settings: Settings, pool: Pool
) -> None:
    await send(settings.model_copy(update={"queue_type": "classic"}))
    ids = await submit(pool, 2, grace_s=3_600)
    await claim_tasks(pool, ids, owner="gone", lease_s=0.001)
    async with running_relay(settings, pool) as relay:

        async def are_back() -> bool:
            return await count(pool, "tasks where state = 'QUEUED'") == 2

        await until(are_back)
        await until_sample(relay, "relay_leases_expired_total", 1)

        async def has_complained() -> bool:
            return sample(relay, "relay_loop_errors_total", loop="reannounce") >= 1

        await until(has_complained)
        assert await count(pool, "outbox") >= 1


async def test_many_lost_leases_are_ended_without_a_pause_between(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_reaper, "_AT_ONCE", 3)
    ids = await submit(pool, 8, grace_s=3_600)
    for task_id in ids:
        await claim_tasks(pool, [task_id], owner="gone", lease_s=0.001)
    service = Service("relay", settings)
    reaper = LeaseReaper(pool, settings, RelayMetrics(service.registry))

    async def has_watched_for_long_enough() -> bool:
        return await reaper.run_pass()

    await until(has_watched_for_long_enough)
    assert sample(service, "relay_leases_expired_total") == 3
    assert await reaper.run_pass()
    assert not await reaper.run_pass()
    assert await count(pool, "tasks where state = 'QUEUED'") == 8
    assert not await reaper.run_pass()


async def test_a_deleted_queue_loses_no_task(settings: Settings, pool: Pool) -> None:
    async with running_relay(settings, pool) as relay:
        await submit(pool, 10)

        await until_messages(settings, 10)
        await delete_queue(settings)
        await send(settings)
        await until_messages(settings, 10)
        await until_sample(relay, "relay_reannounced_total", 10)


async def test_two_relays_send_each_message_once(settings: Settings, pool: Pool) -> None:
    for _ in range(30):
        await submit(pool, 10)
    async with running_relay(settings, pool) as one, running_relay(settings, pool) as other:

        async def are_sent() -> bool:
            return await count(pool, "outbox") == 0

        await until(are_sent)
    # Both have drained, so a number that passes 300 cannot be met on its way.
    assert sum(sample(relay, "relay_announced_total") for relay in (one, other)) == 300
    await until_messages(settings, 300)
