"""Effects of handlers: once, or together with the completion, whatever comes in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from task_platform.domain.task import ClaimedTask
from task_platform.errors import (
    DatabaseUnavailable,
    InvalidResult,
    LeaseLost,
    NonRetryable,
)
from task_platform.handlers import TaskContext
from task_platform.handlers.registry import Handler, Lane
from task_platform.settings import Settings
from task_platform.storage.claims import give_back
from task_platform.storage.pool import Pool, open_pool
from task_platform.storage.transactions import HandlerConnections
from task_platform.worker.effects import LoopEffects

from ....factories import handler, success
from ....link import Link, linked_database
from ..processes import (
    announce,
    rows,
    running_relay,
    running_worker,
    sample,
    submit,
    until,
    until_messages,
    until_sample,
    until_state,
)
from ..storage.steps import claim, claimed, lose_claims
from .steps import sent

CHARGES = "create table charges (id bigint generated always as identity, note text)"
OPEN_TRANSACTIONS = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and state like 'idle in transaction%'"
)


@pytest.fixture(autouse=True)
async def charges(pool: Pool) -> None:
    """A table of the handlers' own."""
    await pool.execute(CHARGES)


async def notes(pool: Pool) -> list[str]:
    """What is committed in it."""
    return [row["note"] for row in await pool.fetch("select note from charges order by id")]


async def note(connection: Any, text: str) -> str:
    """Write a line into it."""
    await connection.execute("insert into charges (note) values ($1)", text)
    return text


@pytest.fixture
async def connections(settings: Settings) -> AsyncIterator[HandlerConnections]:
    """What handlers write by."""
    connections = HandlerConnections(settings)
    yield connections
    await connections.close()


def effects_of(connections: HandlerConnections, task: ClaimedTask) -> LoopEffects:
    """The effects of one execution."""
    return LoopEffects(connections, task, max_bytes=1_000)


def context_of(connections: HandlerConnections, task: ClaimedTask) -> TaskContext:
    """An execution as its handler sees it."""
    return TaskContext(task.id, task.attempt, task.fence, effects_of(connections, task))


async def taken_over(pool: Pool, task: ClaimedTask) -> ClaimedTask:
    """The task in the hands of the worker that took it from a lost one."""
    await lose_claims(pool)
    (again,) = (await claim(pool, [task.id], owner="w2", alone=True)).tasks
    return again


async def until_count(pool: Pool, sql: str, count: int, *, within_s: float = 10.0) -> None:
    """Return once the statement brings this number."""

    async def is_reached() -> bool:
        return bool(await pool.fetchval(sql) == count)

    await until(is_reached, within_s=within_s)


async def no_transaction_is_open(pool: Pool) -> None:
    """Return once no session has one; the test fails when that takes more than moments."""
    await until_count(pool, OPEN_TRANSACTIONS, 0, within_s=3)


def async_handler(task_type: str, function: Callable[..., Any], **fields: Any) -> Handler:
    """A handler on the loop that takes its context."""
    return handler(task_type, function, lane=Lane.LOOP, takes_context=True, **fields)


# Once.


async def test_an_effect_is_done_once_and_its_result_is_remembered(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    calls: list[str] = []

    async def charge() -> tuple[int, str]:
        calls.append("charge")
        return (1, "é")

    first = await context_of(connections, task).once("charge", charge)
    again = await taken_over(pool, task)
    second = await context_of(connections, again).once("charge", charge)
    # What JSON makes of it, the first time too: no attempt sees anything else than another.
    assert first == second == [1, "é"]
    assert await context_of(connections, again).once("other", lambda: None) is None
    assert calls == ["charge"]
    found = await pool.fetch("select name, fence, result from effects order by name")
    assert [tuple(row) for row in found] == [("charge", 1, '[1,"é"]'), ("other", 2, "null")]


async def test_what_it_writes_by_the_connection_commits_with_its_record(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    context = context_of(connections, task)

    async def fail(connection: asyncpg.Connection) -> None:
        await note(connection, "a")
        raise RuntimeError("too bad")

    with pytest.raises(RuntimeError, match="too bad"):
        await context.once("a", fail)
    with pytest.raises(InvalidResult):
        await context.once("a", lambda connection: note(connection, "x" * 1_000))
    assert await notes(pool) == []
    assert await context.once("a", lambda connection: note(connection, "a")) == "a"
    assert await context.once("a", lambda connection: note(connection, "b")) == "a"
    assert await notes(pool) == ["a"]
    await no_transaction_is_open(pool)


async def test_an_execution_that_lost_its_task_does_nothing_once(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    await lose_claims(pool)
    with pytest.raises(LeaseLost):
        await context_of(connections, task).once("a", lambda: pytest.fail("was called"))


@pytest.mark.parametrize("by_connection", [True, False])
async def test_of_two_executions_only_the_owner_records(
    pool: Pool, connections: HandlerConnections, by_connection: bool
) -> None:
    _, (task,) = await claimed(pool)
    started, resume = asyncio.Event(), asyncio.Event()

    async def slow(connection: Any) -> str:
        await note(connection, "old")
        started.set()
        await resume.wait()
        return "old"

    async def slow_elsewhere() -> str:
        started.set()
        await resume.wait()
        return "old"

    old = asyncio.create_task(
        context_of(connections, task).once("a", slow if by_connection else slow_elsewhere)
    )
    await started.wait()
    again = await taken_over(pool, task)
    new = context_of(connections, again)
    assert await new.once("a", lambda connection: note(connection, "new")) == "new"
    resume.set()
    with pytest.raises(LeaseLost):
        await old
    assert await notes(pool) == ["new"]
    assert await pool.fetchval("select fence from effects") == again.fence


async def test_two_calls_of_one_name_at_once_have_one_result(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    context = context_of(connections, task)
    both = asyncio.Barrier(2)

    async def write(connection: Any, text: str) -> str:
        await both.wait()
        return await note(connection, text)

    one, two = await asyncio.gather(
        context.once("a", lambda connection: write(connection, "one")),
        context.once("a", lambda connection: write(connection, "two")),
    )
    assert one == two
    assert await notes(pool) == [one]


async def test_a_handler_holds_one_connection_at_a_time_db04(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    context = context_of(connections, task)

    async def nested(_: Any) -> None:
        await context.once("b", list)

    async def nested_transaction(_: Any) -> None:
        await context.transaction()

    with pytest.raises(NonRetryable, match="one connection at a time"):
        await context.once("a", nested)
    with pytest.raises(NonRetryable, match="one connection at a time"):
        await context.once("a", nested_transaction)
    async with context.connection():
        with pytest.raises(NonRetryable, match="one connection at a time"):
            await context.once("a", list)
    assert await context.transaction() is await context.transaction()
    with pytest.raises(NonRetryable, match="one connection at a time"):
        await context.once("a", list)
    assert isinstance(context.effects, LoopEffects)
    await context.effects.end()
    await no_transaction_is_open(pool)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x00", "\ud83d", 5])
async def test_a_name_that_cannot_be_one_is_refused(
    pool: Pool, connections: HandlerConnections, name: Any
) -> None:
    _, (task,) = await claimed(pool)
    context = context_of(connections, task)
    for use in (context.effect_key, lambda name: context.once(name, list)):
        with pytest.raises(NonRetryable, match="the name of an effect"):
            use(name)


async def test_the_key_for_other_systems_stays_the_same(
    pool: Pool, connections: HandlerConnections
) -> None:
    _, (task,) = await claimed(pool)
    key = context_of(connections, task).effect_key("charge")
    again = await taken_over(pool, task)
    assert context_of(connections, again).effect_key("charge") == key == f"{task.id}:charge"
    assert await context_of(connections, again).once("x" * 200, lambda: 1) == 1


async def test_a_thread_does_it_once_too(settings: Settings, pool: Pool) -> None:
    calls: list[int] = []

    def charge(_: Any, context: TaskContext) -> Any:
        def charge_card() -> int:
            calls.append(context.attempt)
            return context.attempt

        charged = context.once("charge", charge_card)
        if context.attempt < 3:
            raise RuntimeError("not yet")
        return charged

    made = handler("charge", charge, lane=Lane.THREAD, takes_context=True)
    async with running_relay(settings, pool), running_worker(settings, pool, made):
        ids = await submit(pool, task_type="charge")
        (row,) = await until_state(pool, ids, "SUCCEEDED")
    assert (row["result"], row["attempts"]) == ("1", 3)
    assert calls == [1]


@pytest.mark.parametrize(
    "wish",
    [
        lambda context: context.transaction(),
        lambda context: context.connection(),
        lambda context: context.once("a", lambda connection: None),
    ],
)
async def test_a_thread_is_told_what_it_cannot_have(
    settings: Settings, pool: Pool, wish: Callable[[TaskContext], Any]
) -> None:
    made = handler("t", lambda _, context: wish(context), lane=Lane.THREAD, takes_context=True)
    ids = await sent(settings, pool, task_type="t")
    async with running_worker(settings, pool, made):
        (row,) = await until_state(pool, ids, "FAILED")
    assert json.loads(row["error"])["type"] == "NonRetryable"
    assert "the thread lane" in row["error"]


# Together with the completion.


async def test_what_a_handler_writes_commits_with_its_success(
    settings: Settings, pool: Pool
) -> None:
    seen: list[Any] = []

    async def work(payload: Any, context: TaskContext) -> str:
        connection = await context.transaction()
        await note(connection, f"attempt {context.attempt}")
        seen.append(await notes(pool))
        if context.attempt == 1:
            raise RuntimeError("not yet")
        return "done"

    made = async_handler("work", work)
    async with (
        running_relay(settings, pool),
        running_worker(settings, pool, made) as worker,
    ):
        ids = await submit(pool, 20, task_type="work")
        done = await until_state(pool, ids, "SUCCEEDED")
        assert {(row["result"], row["attempts"], row["error"]) for row in done} == {
            ('"done"', 2, None)
        }
        assert await notes(pool) == ["attempt 2"] * 20
        # Counted once, acknowledged, and the claims closed.
        await until_sample(worker, "worker_tasks_in_flight", 0)
        await until_sample(worker, "worker_tasks_processed_total", 20, task_type="work")
        assert sample(worker, "worker_tasks_retried_total", task_type="work") == 20
        assert sample(worker, "worker_lost_updates_total") == 0
        assert sample(worker, "worker_end_to_end_seconds_count", task_type="work") == 20
        await until_count(pool, "select count(*) from claims", 0)
    assert seen[0] == []
    await no_transaction_is_open(pool)


async def _interrupted_by_drain(settings: Settings, pool: Pool, made: Handler) -> list[UUID]:
    ids = await sent(settings, pool, task_type="hang")
    async with running_worker(settings.model_copy(update={"drain_grace_s": 0.1}), pool, made):
        await until_count(pool, OPEN_TRANSACTIONS, 1)
    assert (await rows(pool, ids))[0]["state"] == "QUEUED"
    return ids


async def _interrupted_by_its_limit(settings: Settings, pool: Pool, made: Handler) -> list[UUID]:
    ids = await sent(settings, pool, task_type="hang", max_retries=0)
    async with running_worker(settings, pool, made):
        (row,) = await until_state(pool, ids, "FAILED")
        assert "TaskTimeout" in row["error"]
        await no_transaction_is_open(pool)
    return ids


async def _interrupted_by_the_reaper(settings: Settings, pool: Pool, made: Handler) -> list[UUID]:
    ids = await sent(settings, pool, task_type="hang", max_retries=0)
    async with running_worker(settings, pool, made) as worker:
        await until_count(pool, OPEN_TRANSACTIONS, 1)
        await pool.execute("update claims set owner = 'x', expires_at = now() - interval '1 s'")
        await lose_claims(pool, owner="x")
        await until_sample(worker, "worker_leases_lost_total", 1)
        await no_transaction_is_open(pool)
        await until_sample(worker, "worker_tasks_in_flight", 0)
    return ids


@pytest.mark.parametrize(
    ("interrupt", "via", "in_statement"),
    [
        (_interrupted_by_drain, "transaction", True),
        (_interrupted_by_drain, "once", False),
        (_interrupted_by_its_limit, "transaction", False),
        (_interrupted_by_its_limit, "once", True),
        (_interrupted_by_the_reaper, "transaction", True),
        (_interrupted_by_the_reaper, "once", False),
    ],
)
async def test_an_interrupted_handler_leaves_no_transaction_open_db13(
    settings: Settings,
    pool: Pool,
    interrupt: Callable[[Settings, Pool, Handler], Awaitable[list[UUID]]],
    via: str,
    in_statement: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def write(connection: Any) -> None:
        await note(connection, "never")
        # Idle for the server's eyes first, so that the test sees the transaction.
        await asyncio.sleep(0.2 if in_statement else 60)
        await connection.execute("select pg_sleep(60)")

    async def hang(_: Any, context: TaskContext) -> None:
        if via == "once":
            await context.once("a", write)
        else:
            await write(await context.transaction())

    timeout_s = 0.5 if interrupt is _interrupted_by_its_limit else None
    await interrupt(settings, pool, async_handler("hang", hang, timeout_s=timeout_s))
    await no_transaction_is_open(pool)
    assert "active transaction" not in caplog.text, "it is nobody's mistake"
    assert await notes(pool) == []
    assert await pool.fetchval("select count(*) from effects") == 0


async def test_a_failed_handler_leaves_no_transaction_open_db13(
    settings: Settings, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    async def swallow(_: Any, context: TaskContext) -> str:
        connection = await context.transaction()
        await note(connection, "never")
        try:
            await connection.execute("select 1 / 0")
        except asyncpg.PostgresError:
            return "as if nothing had happened"
        return ""

    async def end_it(_: Any, context: TaskContext) -> str:
        await (await context.transaction()).execute("rollback")
        return "its own way"

    made = [async_handler("swallow", swallow), async_handler("end", end_it)]
    swallowed = await sent(settings, pool, task_type="swallow", max_retries=0)
    ended = await sent(settings, pool, task_type="end")
    async with running_worker(settings, pool, *made):
        (row,) = await until_state(pool, swallowed, "FAILED")
        assert "InFailedSQLTransactionError" in row["error"]
        (row,) = await until_state(pool, ended, "FAILED")
        assert "ended its transaction by itself" in row["error"]
        await no_transaction_is_open(pool)
    assert "active transaction" not in caplog.text, "it is nobody's mistake"
    assert await notes(pool) == []


async def test_what_the_server_has_against_it_at_the_commit_is_a_failure(
    settings: Settings, pool: Pool
) -> None:
    await pool.execute(
        "alter table charges add constraint one unique (note) deferrable initially deferred"
    )

    async def work(payload: str, context: TaskContext) -> str:
        await note(await context.transaction(), payload)
        return "done"

    async with running_worker(settings, pool, async_handler("work", work)):
        first = await sent(settings, pool, task_type="work", payload="same")
        await until_state(pool, first, "SUCCEEDED")
        second = await sent(settings, pool, task_type="work", payload="same", max_retries=0)
        (row,) = await until_state(pool, second, "FAILED")
        assert "UniqueViolationError" in row["error"]
    assert await notes(pool) == ["same"]


@pytest.mark.parametrize("taken", ["given back", "lost", "claimed again"])
async def test_a_task_that_was_taken_away_is_not_completed(
    pool: Pool, connections: HandlerConnections, taken: str
) -> None:
    _, (task,) = await claimed(pool)
    effects = effects_of(connections, task)
    await note(await effects.transaction(), "never")
    if taken == "given back":
        await give_back(pool, [task], closed_claims=[])
    elif taken == "lost":
        await lose_claims(pool)
    else:
        await taken_over(pool, task)
    (before,) = await rows(pool, [task.id])
    with pytest.raises(LeaseLost):
        await effects.complete(success(task))
    await effects.end()
    assert (await rows(pool, [task.id])) == [before]
    assert await notes(pool) == []
    await no_transaction_is_open(pool)


async def test_a_lost_task_is_dropped_and_counted_but_not_charged(
    settings: Settings, pool: Pool
) -> None:
    stolen = asyncio.Event()

    async def work(_: Any, context: TaskContext) -> int:
        connection = await context.transaction()
        await note(connection, f"fence {context.fence}")
        if context.fence == 1:
            await pool.execute("update tasks set state = 'QUEUED', attempts = 0")
            stolen.set()
        return context.fence

    ids = await sent(settings, pool, task_type="work", max_retries=0)
    async with running_worker(settings, pool, async_handler("work", work)) as worker:
        await stolen.wait()
        await until_sample(worker, "worker_lost_updates_total", 1)
        await announce(settings, ids)
        (row,) = await until_state(pool, ids, "SUCCEEDED")
        assert (row["fence"], row["attempts"], row["result"]) == (2, 1, "2")
        await until_sample(worker, "worker_tasks_processed_total", 1, task_type="work")
    assert await notes(pool) == ["fence 2"]
    assert await pool.fetchval("select count(*) from attempt_failures") == 0


# The answer to a commit is lost.


@asynccontextmanager
async def mutable_worker(settings: Settings, *handlers: Handler) -> AsyncIterator[tuple[Link, Any]]:
    """A worker over a link that can lose the database's answers."""
    async with linked_database(settings, lease_s=30.0) as (link, own):
        own_pool = await open_pool(own, process="worker")
        async with running_worker(own, own_pool, *handlers) as worker:
            yield link, worker
        await own_pool.close()


async def slow_commits(pool: Pool, event: str) -> Callable[[], Awaitable[int]]:
    """Let commits of such an event take a while; returns a wait for one, and for its session."""
    await pool.execute(
        "create function dawdle() returns trigger language plpgsql as $$ begin"
        " perform pg_sleep(0.7); return null; end $$;"
        f"create constraint trigger dawdle after {event} execute function dawdle()"
    )

    async def session() -> int | None:
        found: int | None = await pool.fetchval(
            "select pid from pg_stat_activity where wait_event = 'PgSleep'"
            " and datname = current_database()"
        )
        return found

    return lambda: until(session)


WRITES = "insert on charges deferrable initially deferred for each row"
ENDS = (
    "update on tasks deferrable initially deferred for each row"
    " when (new.state in ('SUCCEEDED', 'FAILED'))"
)


async def complete(_: Any, context: TaskContext) -> int:
    """Write together with the completion."""
    await note(await context.transaction(), f"fence {context.fence}")
    return context.fence


async def write_once(_: Any, context: TaskContext) -> int:
    """Write together with the record of an effect."""

    async def write(connection: Any) -> int:
        await note(connection, f"fence {context.fence}")
        return context.fence

    written: int = await context.once("a", write)
    return written


@pytest.mark.parametrize("work", [complete, write_once])
async def test_a_commit_without_an_answer_is_looked_up_db02(
    settings: Settings, pool: Pool, work: Callable[..., Any]
) -> None:
    committing = await slow_commits(pool, WRITES)
    async with mutable_worker(settings, async_handler("work", work)) as (link, worker):
        ids = await sent(settings, pool, task_type="work", max_retries=0)
        await committing()
        link.mute()
        await until_count(pool, "select count(*) from charges", 1)
        await link.cut()
        await link.heal()
        (row,) = await until_state(pool, ids, "SUCCEEDED", within_s=20)
        assert (row["fence"], row["attempts"], row["result"]) == (1, 1, "1")
        await until_sample(worker, "worker_tasks_processed_total", 1, task_type="work")
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert sample(worker, "worker_lost_updates_total") == 0
    assert await notes(pool) == ["fence 1"]
    await until_messages(settings, 0)


@pytest.mark.parametrize("work", [complete, write_once])
async def test_a_commit_that_did_not_take_place_is_made_by_the_next_attempt_db02(
    settings: Settings, pool: Pool, work: Callable[..., Any]
) -> None:
    committing = await slow_commits(pool, WRITES)
    made = async_handler("work", work)
    async with running_relay(settings, pool), running_worker(settings, pool, made) as worker:
        ids = await submit(pool, task_type="work", max_retries=1)
        await pool.execute("select pg_terminate_backend($1)", await committing())
        (row,) = await until_state(pool, ids, "SUCCEEDED")
        assert (row["fence"], row["result"]) == (2, "2")
        await until_sample(worker, "worker_tasks_retried_total", 1, task_type="work")
        error = await pool.fetchval("select error_type from attempt_failures")
        assert error == "DatabaseUnavailable"
    assert await notes(pool) == ["fence 2"]


@pytest.mark.parametrize(
    ("task_type", "payload", "state", "metric"),
    [
        ("echo", 1, "SUCCEEDED", "worker_tasks_processed_total"),
        ("fail", {"retryable": False}, "FAILED", "worker_tasks_failed_total"),
    ],
)
async def test_an_outcome_without_an_answer_is_looked_up_db02(
    settings: Settings, pool: Pool, task_type: str, payload: Any, state: str, metric: str
) -> None:
    committing = await slow_commits(pool, ENDS)
    async with mutable_worker(settings) as (link, worker):
        ids = await sent(settings, pool, task_type=task_type, payload=payload)
        await committing()
        link.mute()
        await until_state(pool, ids, state)
        await link.cut()
        await link.heal()
        await until_sample(worker, metric, 1, within_s=20, task_type=task_type)
        await until_sample(worker, "worker_tasks_in_flight", 0)
        assert sample(worker, "worker_lost_updates_total") == 0
        (row,) = await rows(pool, ids)
        assert (row["state"], row["fence"]) == (state, 1)
    await until_messages(settings, 0)


async def test_an_effect_that_cannot_be_recorded_yet_is_not_done_again(
    settings: Settings, pool: Pool
) -> None:
    doing, done = asyncio.Event(), asyncio.Event()
    calls: list[int] = []

    async def work(_: Any, context: TaskContext) -> int:
        async def elsewhere() -> int:
            calls.append(context.fence)
            doing.set()
            await done.wait()
            return context.fence

        fence: int = await context.once("a", elsewhere)
        return fence

    async with mutable_worker(settings, async_handler("work", work)) as (link, _):
        ids = await sent(settings, pool, task_type="work", max_retries=0)
        await doing.wait()
        await link.cut()
        done.set()
        await asyncio.sleep(0.5)  # some tries of the record fail meanwhile
        assert await pool.fetchval("select count(*) from effects") == 0
        await link.heal()
        await until_state(pool, ids, "SUCCEEDED", within_s=20)
    assert calls == [1]


async def test_a_database_that_is_away_is_an_ordinary_failure(
    settings: Settings, connections: HandlerConnections, pool: Pool
) -> None:
    _, (task,) = await claimed(pool)
    async with linked_database(settings) as (link, over):
        away = HandlerConnections(over)
        await link.cut()
        with pytest.raises(DatabaseUnavailable):
            await context_of(away, task).once("a", lambda: pytest.fail("was called"))
        with pytest.raises(DatabaseUnavailable):
            await context_of(away, task).transaction()
        await link.heal()
        assert await context_of(away, task).once("a", lambda: 1) == 1
        await away.close()


# Few connections, many handlers.


@pytest.mark.parametrize("via", ["transaction", "once"])
async def test_many_handlers_share_few_connections_db04_db05(
    settings: Settings, pool: Pool, via: str
) -> None:
    await _share_connections(settings, pool, via, tasks=300, hold_s=0.01)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_many_handlers_share_few_connections_for_minutes_db05(
    settings: Settings, pool: Pool
) -> None:
    await _share_connections(settings, pool, "transaction", tasks=4_000, hold_s=0.2, size=10)


async def _share_connections(
    settings: Settings, pool: Pool, via: str, *, tasks: int, hold_s: float, size: int = 2
) -> None:
    """A hundred handlers at once: nobody waits too long, and the worker's own work goes on."""
    settings = settings.model_copy(
        update={"handler_pool_size": size, "worker_concurrency": 100, "lease_s": 2.0}
    )

    async def write(connection: Any) -> None:
        await note(connection, "x")
        await asyncio.sleep(hold_s)

    async def work(_: Any, context: TaskContext) -> None:
        if via == "once":
            await context.once("a", write)
        else:
            await write(await context.transaction())

    async with running_worker(settings, pool, async_handler("work", work)) as worker:
        ids = await sent(settings, pool, tasks, task_type="work", max_retries=0)
        done = await until_state(pool, ids, "SUCCEEDED", within_s=30 + 4 * tasks * hold_s / size)
        assert {row["fence"] for row in done} == {1}
        await until_sample(worker, "worker_tasks_processed_total", tasks, task_type="work")
        assert sample(worker, "worker_leases_lost_total") == 0
        assert sample(worker, "worker_handler_connection_wait_seconds_count") >= tasks
    assert await pool.fetchval("select count(*) from charges") == tasks
    opened = await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'task-platform handlers'"
    )
    assert opened <= size


async def test_who_waits_too_long_for_a_connection_is_told_so_db05(
    settings: Settings, pool: Pool
) -> None:
    _, (task,) = await claimed(pool)
    few = HandlerConnections(
        settings.model_copy(update={"handler_pool_size": 1, "database_timeout_s": 0.2})
    )
    try:
        async with few.connection():
            with pytest.raises(DatabaseUnavailable, match=r"within 0.2 s"):
                await context_of(few, task).once("a", list)
        assert await context_of(few, task).once("a", list) == []
    finally:
        await few.close()


async def test_connections_are_given_in_the_order_they_were_asked_for_db05(
    settings: Settings,
) -> None:
    few = HandlerConnections(settings.model_copy(update={"handler_pool_size": 1}))
    served: list[int] = []

    async def use(number: int, times: int) -> None:
        for _ in range(times):
            async with few.connection():
                served.append(number)
                await asyncio.sleep(0)

    # One that asks again and again does not overtake those who wait.
    await asyncio.gather(use(0, 5), *(use(number, 1) for number in range(1, 20)))
    assert served[:20] == list(range(20))
    await few.close()


# The built-in type.


@pytest.mark.parametrize("via", ["once", "transaction"])
async def test_the_built_in_effect_happens_once(settings: Settings, pool: Pool, via: str) -> None:
    payload = {"seconds": 0.01, "fail_first": 2, "via": via}
    async with running_relay(settings, pool), running_worker(settings, pool):
        (task_id,) = ids = await submit(pool, task_type="effect", payload=payload)
        await until_state(pool, ids, "SUCCEEDED")
        (plain,) = await submit(pool, task_type="effect", payload={})
        await until_state(pool, [plain], "SUCCEEDED")
    fence = 1 if via == "once" else 3
    assert await logged(pool, task_id) == [("started", n) for n in (1, 2, 3)] + [("guarded", fence)]
    assert json.loads((await rows(pool, ids))[0]["result"]) == {"fence": fence}
    assert await logged(pool, plain) == [("started", 1), ("guarded", 1)]
    assert await pool.fetchval("select count(*) from effects where task_id = $1", task_id) == (
        via == "once"
    )


async def logged(pool: Pool, task_id: UUID) -> list[tuple[str, int]]:
    """The effect log of a task: its starts, then what it guarded."""
    found = await pool.fetch(
        "select kind, fence from effect_log where task_id = $1 order by kind desc, id", task_id
    )
    return [(row["kind"], row["fence"]) for row in found]


async def test_the_built_in_effect_happens_once_when_its_lease_is_lost(
    settings: Settings, pool: Pool
) -> None:
    async with running_relay(settings, pool), running_worker(settings, pool):
        ids = await submit(pool, 4, task_type="effect", payload={"seconds": 0.6}, max_retries=0)
        await until_count(pool, "select count(*) from effect_log", 4)
        await pool.execute("update claims set owner = 'x', expires_at = now() - interval '1 s'")
        await until_state(pool, ids, "SUCCEEDED")
    for task_id in ids:
        lines = await logged(pool, task_id)
        assert [line for line in lines if line[0] == "guarded"] == [("guarded", 2)]
        assert lines[:2] == [("started", 1), ("started", 2)]
