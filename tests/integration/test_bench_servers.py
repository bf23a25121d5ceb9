"""What the bench asks of real servers: the ledger, a full table, the bare loops released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from task_lab.bench import size
from task_lab.bench.floor_drain import drain_floor
from task_lab.bench.ledger import BenchLedger, Range
from task_lab.bench.measurements import PromisedLess
from task_lab.bench.plan import SUM
from task_lab.collect.loop import LoopThread
from task_lab.runtime.servers import NativeServers
from task_lab.statements import statements_of

FINISHED = """
insert into tasks (id, tenant, task_type, payload, max_retries, state, attempts, fence, result,
                   started_at, finished_at)
select lpad(to_hex(n), 32, '0')::uuid, 't', 'sum', '{"numbers": [1]}', 3, 'SUCCEEDED', 1, 1,
       '{"sum": 15}', now(), to_timestamp(1000 + n)
from generate_series(1, 3) as n
"""
IDS = [f"00000000-0000-0000-0000-{number:012d}" for number in range(1, 4)]
TASKS = Range(IDS[0], IDS[-1], 3)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.stop()


@pytest.fixture
def ledger(loop: LoopThread, database_url: str) -> Iterator[BenchLedger]:
    ledger = BenchLedger(loop, database_url)
    yield ledger
    ledger.close()


def test_the_end_of_a_drain_is_its_last_result(ledger: BenchLedger) -> None:
    ledger.execute(FINISHED)
    assert ledger.wait_finished(TASKS, SUM) == 1003.0
    assert ledger.everything() == TASKS
    assert ledger.by_state() == {"SUCCEEDED": 3}
    assert [times.finished_at for times in ledger.times(TASKS).values()] == [1001, 1002, 1003]


@pytest.mark.parametrize(
    "wrong",
    [
        f"delete from tasks where id = '{IDS[1]}'",
        f"update tasks set state = 'FAILED' where id = '{IDS[1]}'",
        f"""update tasks set result = '{{"sum": 14}}' where id = '{IDS[1]}'""",
        f"update tasks set result = null where id = '{IDS[1]}'",
        f"delete from tasks where id = '{IDS[2]}'",
    ],
)
def test_a_task_lost_failed_or_wrong_is_a_broken_promise(ledger: BenchLedger, wrong: str) -> None:
    ledger.execute(FINISHED, wrong)
    with pytest.raises(PromisedLess):
        ledger.wait_finished(TASKS, SUM)


def test_an_empty_ledger_is_a_broken_promise(ledger: BenchLedger) -> None:
    with pytest.raises(PromisedLess):
        ledger.everything()


def test_the_outbox_is_waited_for(ledger: BenchLedger) -> None:
    before = time.time()
    assert ledger.wait_announced(1) >= before


def test_a_full_table_is_what_the_platform_leaves(loop: LoopThread, ledger: BenchLedger) -> None:
    statements = statements_of(Path(size.__file__).with_name("size.sql"))
    ledger.execute(FINISHED)
    loop.run(ledger.connection.execute(statements["fill_finished"], 500))
    assert ledger.by_state() == {"SUCCEEDED": 503}
    (row,) = loop.run(
        ledger.connection.fetch(
            """
            select count(distinct k.key) as keys, count(distinct t.result::text) as results,
                max(t.created_at) <= now() and max(t.finished_at) <= now() + interval '1 second'
                    as is_past,
                bool_and(k.expires_at > now()) as keys_hold
            from tasks t join idempotency_keys k on k.task_id = t.id
            """
        )
    )
    assert tuple(row.values()) == (500, 1, True, True)
    for name in ("tidy_tasks", "tidy_keys", "write_out", "empty"):
        ledger.execute(statements[name])
    assert ledger.by_state() == {}


def test_statements_of_new_sessions_are_explained_in_the_log(
    loop: LoopThread, ledger: BenchLedger, database_url: str
) -> None:
    statements = statements_of(Path(size.__file__).with_name("size.sql"))
    ledger.execute(statements["explain_new_sessions"])

    async def loaded() -> str:
        connection = await asyncpg.connect(database_url)
        try:
            return str(await connection.fetchval("show auto_explain.log_buffers"))
        finally:
            await connection.close()

    assert loop.run(loaded()) == "on"


def test_the_bare_loops_are_timed_from_their_release(servers: NativeServers) -> None:
    endpoints = servers.endpoints()

    async def count(statement: str) -> int:
        connection = await asyncpg.connect(endpoints.database_url)
        try:
            return int(await connection.fetchval(statement))
        finally:
            await connection.close()

    finished = "select count(*) from task_lab_floor.tasks where state = 'SUCCEEDED'"
    before = time.time()
    drained = drain_floor(
        endpoints, 500, warmup_tasks=50, finished=lambda: asyncio.run(count(finished))
    )
    assert drained.tasks == 500
    assert before < drained.released_at < drained.ended_at < time.time()
    left = "select count(*) from pg_namespace where nspname = 'task_lab_floor'"
    assert asyncio.run(count(left)) == 0
