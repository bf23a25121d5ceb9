"""Much of everything: backlogs, dead letters and history of a size that is not looked at twice."""

from __future__ import annotations

from collections import Counter
from statistics import median
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from task_platform.broker.publisher import Publisher
from task_platform.metrics import RelayMetrics
from task_platform.relay.dlq_reconciler import DeadLetterReconciler
from task_platform.relay.retention import Retention
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outcomes import finish_succeeded
from task_platform.storage.pool import Pool

from ....factories import some_ids, success
from ..processes import (
    running_relay,
    sample,
    send,
    submit,
    until,
    until_messages,
    until_sample,
)
from .dead import QUEUE, dead, impatient, taken_from

pytestmark = pytest.mark.slow

MB = 1_000_000


async def size_of(pool: Pool, table: str) -> int:
    """Bytes of the table with its indexes, after a vacuum."""
    await pool.execute(f"vacuum {table}")
    return int(await pool.fetchval("select pg_total_relation_size($1::text::regclass)", table))


async def drained(pool: Pool, *, within_s: float) -> float:
    """Seconds until the outbox is empty."""
    started = monotonic()

    async def is_empty() -> bool:
        return not await pool.fetchval("select count(*) from outbox")

    await until(is_empty, within_s=within_s)
    return monotonic() - started


async def test_a_backlog_drains_at_a_stated_rate_ob08(
    settings: Settings, pool: Pool, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type})
    await send(settings)
    for _ in range(40):
        await submit(pool, 250)
    async with running_relay(settings, pool):
        took_s = await drained(pool, within_s=60)
    print(f"\n{queue_type}: a backlog of 10,000 left at {10_000 / took_s:,.0f} messages/s")  # noqa: T201
    # One confirm at a time would be slower than this by far, on any machine.
    assert 10_000 / took_s > 500
    await until_messages(settings, 10_000)


async def test_an_outbox_of_100000_rows_is_emptied_and_stays_small_ob07(
    settings: Settings, pool: Pool
) -> None:
    sizes = []
    async with running_relay(settings, pool) as relay:
        for round_ in (1, 2, 3):
            await pool.execute(
                "insert into outbox (queue, task_ids, due_at, available_at) "
                "select 'tasks', array[gen_random_uuid()], now(), now() "
                "from generate_series(1, 100000)"
            )
            took_s = await drained(pool, within_s=100)
            sizes.append(await size_of(pool, "outbox"))
            rate = f"{100_000 / took_s:,.0f} rows/s"
            print(f"\n100,000 rows of one message: {rate}, {sizes[-1] / MB:.0f} MB")  # noqa: T201
            await until_sample(relay, "relay_announced_total", 100_000 * round_)
    # What was deleted is used again: the third round needs no more room than those before.
    assert sizes[2] <= max(sizes[:2]) * 1.3


async def history(pool: Pool, count: int) -> None:
    """So many finished tasks with ids of yesterday."""
    await pool.execute(
        "insert into tasks (id, tenant, task_type, payload, max_retries, state, finished_at) "
        "select (lpad(to_hex((extract(epoch from now() - interval '1 day') * 1000)::bigint "
        "+ n), 12, '0') || '7000' || '8' || lpad(to_hex((random() * 1e9)::bigint), 15, '0'))::uuid,"
        " 'default', 'sum', '{\"numbers\":[1,2,3]}', 0, 'SUCCEEDED', now() - interval '1 day' "
        "from generate_series(1, $1) as n",
        count,
    )


async def rounds_s(pool: Pool, rounds: int = 25) -> tuple[float, float]:
    """Median seconds of one claim, and of one finish, of 200 tasks."""
    claims, finishes = [], []
    for _ in range(rounds):
        ids = await submit(pool, 200, grace_s=3_600)
        started = monotonic()
        claim = await claim_tasks(pool, ids, owner="w", lease_s=60)
        claims.append(monotonic() - started)
        assert len(claim.tasks) == 200
        started = monotonic()
        await finish_succeeded(
            pool, [success(task) for task in claim.tasks], closed_claims=[claim.claim_id or 0]
        )
        finishes.append(monotonic() - started)
    return median(claims), median(finishes)


async def swept(settings: Settings, pool: Pool) -> float:
    """Seconds that retention takes for all that is old, its pauses included."""
    service = Service("relay", settings)
    sweeper = Retention(service, pool, RelayMetrics(service.registry))
    started = monotonic()
    while await sweeper.run_pass():
        pass
    return monotonic() - started


async def test_history_slows_no_claim_and_its_room_is_used_again_db12_ob07(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("task_platform.relay.retention._DUTY", 0.5)
    kept = settings.model_copy(update={"retention_s": 3_600.0, "idempotency_ttl_s": 3_600.0})
    await rounds_s(pool)
    without = await rounds_s(pool)
    await history(pool, 200_000)
    await pool.execute("vacuum analyze tasks")
    beside = await rounds_s(pool)
    size = await size_of(pool, "tasks")
    took_s = await swept(kept, pool)
    after = await rounds_s(pool)
    left = await pool.fetchval(
        "select count(*) from tasks where finished_at < now() - interval '1 hour'"
    )
    assert left == 0
    await size_of(pool, "tasks")
    await history(pool, 200_000)
    size_again = await size_of(pool, "tasks")
    for when, (claim_s, finish_s) in (("no", without), ("with", beside), ("after", after)):
        print(f"\n{when} history: claim {claim_s * 1e3:.1f} ms, finish {finish_s * 1e3:.1f} ms")  # noqa: T201
    print(f"deleted at {200_000 / took_s:,.0f} rows/s")  # noqa: T201
    print(f"{size / MB:.0f} MB; filled again {size_again / MB:.0f} MB")  # noqa: T201
    # Flat: a scan of what is finished would be slower by orders of magnitude.
    for figures in (beside, after):
        assert figures[0] < 3 * without[0] + 0.01
        assert figures[1] < 3 * without[1] + 0.01
    assert size_again < 1.3 * size


async def publish(settings: Settings, ids: list[UUID]) -> None:
    publisher = Publisher(settings, name="test")
    assert len(await publisher.publish(QUEUE, ids)) == len(ids)
    await publisher.close()


@pytest.mark.timeout(400)
async def test_100000_dead_letters_are_compared_in_bounded_memory_and_time(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = impatient(settings, monkeypatch)
    ids = await dead(pool, 100_000)
    await pool.execute("vacuum analyze dead_letters")
    lost, twice, strangers = ids[::1_000], ids[500::1_000], some_ids(50)
    await publish(settings, [task_id for n, task_id in enumerate(ids) if n % 1_000])
    await publish(settings, twice + strangers)
    service = Service("relay", settings)
    reconciler = DeadLetterReconciler(service, pool, RelayMetrics(service.registry))
    held: list[int] = []
    turn_over = DeadLetterReconciler._turn_over

    async def watched(self: DeadLetterReconciler, *args: Any) -> int:
        taken = await turn_over(self, *args)
        held.append(taken)
        return taken

    monkeypatch.setattr(DeadLetterReconciler, "_turn_over", watched)
    started = monotonic()
    await reconciler.look()
    took_s = monotonic() - started
    await reconciler.close()
    print(f"\n{sum(held):,} messages were turned over in {took_s:.0f} s")  # noqa: T201
    assert max(held) <= 500
    name = "relay_dead_letter_repairs_total"
    assert sample(service, name, action="published") == len(lost)
    assert sample(service, name, action="removed") == len(twice) + len(strangers)
    assert took_s < 180
    assert await taken_from(settings) == Counter(ids)
