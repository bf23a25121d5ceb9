"""No named statement goes unexecuted: one life of everything, with a record of what was run."""

from __future__ import annotations

from uuid import UUID

import pytest
from task_platform.settings import Settings
from task_platform.storage import effects, health, locks, migrate, queries, transactions
from task_platform.storage import pool as pool_module
from task_platform.storage.census import census_tasks, census_window
from task_platform.storage.claims import (
    bury_rowless,
    existing_tasks,
    give_back,
    give_back_unknown,
    hand_on,
    renew_claims,
)
from task_platform.storage.dead_letters import (
    BEGINNING,
    announced_dead_letters,
    count_open,
    list_dead_letters,
    open_among,
    open_dead_letters,
    purge_dead_letters,
    replay_dead_letters,
    show_dead_letter,
)
from task_platform.storage.health import database_now
from task_platform.storage.locks import RETENTION, held_lock
from task_platform.storage.migrate import is_current
from task_platform.storage.outbox import (
    claim_outbox_rows,
    oldest_unsent_age_s,
    settle_outbox_rows,
)
from task_platform.storage.outcomes import (
    committed_outcomes,
    finish_succeeded,
    finish_unsuccessful,
)
from task_platform.storage.pool import Pool, open_pool
from task_platform.storage.reads import get_task, list_tasks
from task_platform.storage.retention import (
    delete_expired_keys,
    delete_finished_tasks,
    delete_resolved_rowless,
)

from ....factories import failure, keyed_task, some_ids, success
from .steps import claim, claimed, lose_claims, submit, submitted_ids
from .test_reannounce import HIGHEST, LOWEST, search


async def test_every_statement_runs_on_a_real_database(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: set[str] = set()

    def noted(name: str) -> str:
        executed.add(name)
        return queries.sql(name)

    monkeypatch.setattr(pool_module, "sql", noted)
    monkeypatch.setattr(transactions, "sql", noted)
    monkeypatch.setattr(migrate, "sql", noted)
    monkeypatch.setattr(locks, "sql", noted)
    monkeypatch.setattr(health, "sql", noted)
    await migrate.migrate(empty_url)
    pool = await open_pool(Settings(database_url=empty_url), process="test")
    try:
        assert await is_current(pool)
        probe = health.DatabaseProbe(Settings(database_url=empty_url), process="test")
        await probe.ask()
        probe.close()
        await submit(pool, keyed_task("k"), keyed_task("k"))
        await submit(pool, keyed_task("k"))
        answer, (done, dead, back) = await claimed(pool, 3)
        await renew_claims(pool, [answer.claim_id or 0], owner="w1", lease_s=60)
        await finish_succeeded(pool, [success(done)], closed_claims=[])
        await finish_unsuccessful(pool, [failure(dead)], worker="w1", closed_claims=[])
        await give_back(pool, [back], closed_claims=[])
        await lose_claims(pool)
        await give_back_unknown(pool, owner="w1", known_claims=[])
        await hand_on(pool, [back.id])
        await existing_tasks(pool, [done.id])
        await bury_rowless(pool, some_ids(1)[0])
        await claim(pool, await submitted_ids(pool, 2))
        await oldest_unsent_age_s(pool)
        await pool.execute("update outbox set available_at = now()")
        all_of, none_of, *_, part_of = sorted(
            await claim_outbox_rows(pool, queue="tasks", limit=9, hide_s=9),
            key=lambda row: len(row.task_ids),
        )
        confirmed = {*all_of.task_ids, part_of.task_ids[0]} - {*none_of.task_ids}
        await settle_outbox_rows(pool, [all_of, none_of, part_of], confirmed, retry_in_s=1)
        await search(pool)
        await census_window(pool, after=LOWEST, before=HIGHEST, window=10, few=10)
        await census_tasks(pool, [done.id])
        await run_effects(pool, Settings(database_url=empty_url))
        await get_task(pool, tenant="default", task_id=done.id)
        await list_tasks(pool, tenant="default", before=None, state=None, task_type=None, limit=10)
        await run_operations(pool, dead.id)
    finally:
        await pool.close()
    assert executed == set(queries.statements())


async def run_effects(pool: Pool, settings: Settings) -> None:
    """The statements that handlers' own connections run."""
    _, (task,) = await claimed(pool)
    connections = transactions.HandlerConnections(settings)
    try:
        transaction = await transactions.HandlerTransaction(connections).begin()
        await effects.log_effect(transaction.connection, task.id, task.fence, "guarded")
        await transaction.hurry()
        await effects.record_effect(transaction.connection, task, "a", "1")
        await transaction.end()
        async with connections.connection() as connection:
            await effects.recorded_effect(connection, task, "a")
            await effects.is_completed(connection, task)
    finally:
        await connections.close()
    await committed_outcomes(pool, [success(task)])


async def run_operations(pool: Pool, dead: UUID) -> None:
    """What operators do about the dead, and what retention deletes."""
    await list_dead_letters(pool, before=None, only_open=True, task_type=None, limit=10)
    await show_dead_letter(pool, dead)
    await count_open(pool)
    await open_among(pool, [dead])
    await open_dead_letters(pool, until=await database_now(pool), after=BEGINNING)
    await announced_dead_letters(pool, after=BEGINNING)
    (new_id,) = some_ids(1)
    await replay_dead_letters(pool, {dead: new_id})
    await purge_dead_letters(pool, [dead])
    async with held_lock(pool, RETENTION) as lock:
        assert lock is not None
        await lock.confirm()
    await delete_finished_tasks(pool, after=LOWEST, before=HIGHEST, window=10, age_s=0)
    await delete_resolved_rowless(pool, after=LOWEST, window=10, age_s=0)
    await delete_expired_keys(pool, limit=10)
