"""What does not answer stops those who need it, for as long as it does not, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks
from task_platform.storage.pool import Pool, open_pool

from ....link import linked_broker
from ..processes import (
    messages_in,
    running_relay,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_state,
)
from .dead import QUEUE, dead, impatient

Proof = Callable[[Service, Settings, Pool], Awaitable[None]]


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Everything happens often, and a statement may take half a second."""
    quick = {"database_timeout_s": 0.5, "retention_every_s": 0.1, "idempotency_ttl_s": 0.1}
    changed = settings.model_copy(update={**quick, "retention_s": 0.1, "reannounce_age_s": 0.4})
    return impatient(changed, monkeypatch)


@pytest.fixture
async def relay_pool(settings: Settings) -> AsyncIterator[Pool]:
    """As large as a relay's own."""
    pool = await open_pool(settings, process="test relay", size=11)
    yield pool
    await pool.close()


@asynccontextmanager
async def locked(settings: Settings, table: str) -> AsyncIterator[None]:
    """Nobody gets at the table for the time of the block."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table} in access exclusive mode")
            yield
    finally:
        await connection.close()


async def announces(_: Service, settings: Settings, pool: Pool) -> None:
    """Due rows are sent."""
    before = await messages_in(settings)
    ids = await submit(pool, 3)

    async def are_sent() -> bool:
        is_left = "select exists (select from outbox where task_ids && $1)"
        # Nobody works here: what has waited for long is announced again, so there may be more.
        return not await pool.fetchval(is_left, ids) and await messages_in(settings) >= before + 3

    await until(are_sent)


async def brings_back(_: Service, settings: Settings, pool: Pool) -> None:
    """Lost leases are found."""
    ids = await submit(pool, 1, grace_s=3_600)
    claim = await claim_tasks(pool, ids, owner="gone", lease_s=0.001)
    assert claim.tasks
    await until_state(pool, ids, "QUEUED")


async def reconciles(relay: Service, settings: Settings, pool: Pool) -> None:
    """The dead letter queue follows the list."""
    before = sample(relay, "relay_dead_letter_repairs_total", action="published")
    await dead(pool, 2)

    async def are_there() -> bool:
        return sample(relay, "relay_dead_letter_repairs_total", action="published") == before + 2

    await until(are_there)


async def counts_the_dead(relay: Service, settings: Settings, pool: Pool) -> None:
    """The list is looked at, although the queue cannot be filled from an outbox nobody can read."""
    listed = int(await pool.fetchval("select count(*) from dead_letters where resolved_at is null"))

    async def is_counted() -> bool:
        return sample(relay, "relay_dead_letters_open") == listed

    await until(is_counted)


async def forgets_keys(_: Service, settings: Settings, pool: Pool) -> None:
    """Expired keys are deleted."""
    await pool.execute(
        "insert into idempotency_keys values ('t', gen_random_uuid()::text, '', "
        "gen_random_uuid(), now())"
    )

    async def are_gone() -> bool:
        return not await pool.fetchval("select count(*) from idempotency_keys")

    await until(are_gone)


@pytest.mark.parametrize(
    ("table", "stalled", "goes_on"),
    [
        ("dead_letters", ["dlq"], [announces, brings_back, forgets_keys]),
        ("claims", ["leases"], [announces, reconciles, forgets_keys]),
        ("idempotency_keys", ["retention"], [announces, brings_back, reconciles]),
        ("outbox", ["outbox", "dead_letters", "leases", "reannounce", "age"], [forgets_keys]),
        ("attempt_failures", ["leases", "retention"], [announces, reconciles]),
    ],
)
async def test_a_statement_that_stalls_holds_back_nothing_else(
    settings: Settings,
    pool: Pool,
    relay_pool: Pool,
    table: str,
    stalled: list[str],
    goes_on: list[Proof],
) -> None:
    await send(settings)
    # Something for the search for the forgotten and for retention to look at.
    await submit(pool, 1, grace_s=3_600)
    async with running_relay(settings, relay_pool) as relay:
        await reconciles(relay, settings, pool)
        async with locked(settings, table):

            async def have_stalled() -> bool:
                return all(
                    sample(relay, "relay_loop_errors_total", loop=loop) >= 1 for loop in stalled
                )

            async def all_stall() -> None:
                await until(have_stalled)

            # Meanwhile, not afterwards.
            async with asyncio.TaskGroup() as group:
                group.create_task(all_stall())
                for proof in goes_on:
                    await proof(relay, settings, pool)
        for proof in (announces, brings_back, reconciles, counts_the_dead, forgets_keys):
            await proof(relay, settings, pool)


async def test_a_broker_that_says_nothing_stops_no_reaper_and_no_retention_ob06(
    settings: Settings, pool: Pool, relay_pool: Pool
) -> None:
    async with linked_broker(settings, publish_timeout_s=0.5) as (link, frozen):
        await send(settings)
        async with running_relay(frozen, relay_pool) as relay:
            await announces(relay, settings, pool)
            link.freeze()
            ids = await submit(pool, 4)
            for proof in (brings_back, forgets_keys, brings_back):
                await proof(relay, settings, pool)

            async def is_told() -> bool:
                return sample(relay, "relay_outbox_oldest_age_seconds") > 0.5

            await until(is_told)
            assert await pool.fetchval("select sum(cardinality(task_ids)) from outbox") >= len(ids)
            await link.cut()
            await link.heal()

            async def are_sent() -> bool:
                return not await pool.fetchval(
                    "select count(*) from outbox where $1::uuid[] && task_ids", ids
                )

            await until(are_sent, within_s=15)
            await until_at_least(settings, 3 + 4)


async def until_at_least(settings: Settings, count: int) -> None:
    """Return once so many messages are ready; some may have been sent twice."""

    async def are_there() -> bool:
        return await messages_in(settings) >= count

    await until(are_there)


async def test_the_dead_letter_queue_is_mended_when_the_broker_answers_again_ob06(
    settings: Settings, pool: Pool, relay_pool: Pool
) -> None:
    async with linked_broker(settings, publish_timeout_s=0.5) as (link, frozen):
        await send(settings)
        async with running_relay(frozen, relay_pool) as relay:
            await reconciles(relay, settings, pool)
            link.freeze()
            await dead(pool, 3)
            await link.cut()
            await link.heal()
            await until_messages(settings, 2 + 3, queue=QUEUE, within_s=15)
