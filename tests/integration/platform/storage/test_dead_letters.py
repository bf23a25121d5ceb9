"""The list of the dead: read in pages, and resolved once whoever asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from task_platform.errors import NotFound
from task_platform.storage import dead_letters
from task_platform.storage.claims import bury_rowless
from task_platform.storage.dead_letters import (
    BEGINNING,
    DeadLetter,
    Outcome,
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
from task_platform.storage.outcomes import finish_unsuccessful
from task_platform.storage.pool import Pool
from uuid_utils.compat import uuid7

from ....factories import failure, some_ids
from .steps import claimed, forget_outbox, outbox, task_row


async def dead(pool: Pool, count: int = 1, **fields: Any) -> list[UUID]:
    """So many tasks that died, one after the other."""
    ids = []
    for _ in range(count):
        _, (task,) = await claimed(pool, **fields)
        await finish_unsuccessful(pool, [failure(task)], worker="w1", closed_claims=[])
        ids.append(task.id)
    await forget_outbox(pool)
    return ids


async def listed(pool: Pool, **filters: Any) -> list[DeadLetter]:
    """The whole list, read in pages of two."""
    options: dict[str, Any] = {"only_open": True, "task_type": None} | filters
    found: list[DeadLetter] = []
    before = None
    while True:
        page = await list_dead_letters(pool, before=before, limit=2, **options)
        found.extend(page.letters)
        before = page.next_before
        if before is None:
            return found


def ids_of(letters: list[DeadLetter]) -> list[UUID]:
    return [letter.task_id for letter in letters]


async def test_the_list_is_read_newest_first_in_pages(pool: Pool) -> None:
    ids = await dead(pool, 5)
    letters = await listed(pool)
    assert ids_of(letters) == ids[::-1]
    assert {(one.reason, one.task_type, one.attempts) for one in letters} == {
        ("RuntimeError", "sum", 1)
    }


async def test_deaths_of_one_instant_are_each_listed_once(pool: Pool) -> None:
    ids = await dead(pool, 7)
    await pool.execute("update dead_letters set failed_at = now()")
    assert sorted(ids_of(await listed(pool))) == sorted(ids)


async def test_the_list_can_be_of_one_type_and_with_the_resolved(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows that hold nothing of the type must be passed over.
    monkeypatch.setattr(dead_letters, "SCAN_WINDOW", 2)
    (first,) = await dead(pool, task_type="rare")
    others = await dead(pool, 6)
    (last,) = await dead(pool, task_type="rare")
    await purge_dead_letters(pool, [others[0]])
    assert ids_of(await listed(pool, task_type="rare")) == [last, first]
    assert len(await listed(pool)) == 7
    assert len(await listed(pool, only_open=False)) == 8
    assert await listed(pool, task_type="none") == []


async def test_a_page_after_nothing_known_is_refused(pool: Pool) -> None:
    with pytest.raises(NotFound):
        await listed_after(pool, some_ids(1)[0])


async def listed_after(pool: Pool, before: UUID) -> None:
    await list_dead_letters(pool, before=before, only_open=True, task_type=None, limit=1)


async def test_a_rowless_one_is_listed_without_a_task(pool: Pool) -> None:
    (stranger,) = some_ids(1)
    await bury_rowless(pool, stranger)
    (letter,) = await listed(pool)
    assert (letter.task_id, letter.reason, letter.task_type) == (stranger, "NoSuchTask", None)
    detail = await show_dead_letter(pool, stranger)
    assert detail
    assert (detail.payload, detail.failures, detail.is_unannounced) == (None, (), True)


async def test_one_is_shown_with_its_task_and_its_attempts(pool: Pool) -> None:
    (task_id,) = await dead(pool, payload={"numbers": [7]})
    detail = await show_dead_letter(pool, task_id)
    assert detail
    assert detail.payload == '{"numbers":[7]}'
    assert not detail.is_unannounced
    (attempt,) = detail.failures
    assert (attempt.attempt, attempt.outcome, attempt.message) == (1, "dead", "told to fail")
    assert await show_dead_letter(pool, some_ids(1)[0]) is None


async def test_a_replay_is_a_new_task_and_the_old_one_keeps_its_history_rt09(pool: Pool) -> None:
    (old,) = await dead(pool, tenant="acme", payload={"numbers": [7]}, max_retries=2)
    before = await task_row(pool, old)
    new = uuid7()
    assert await replay_dead_letters(pool, {old: new}) == {old: (Outcome.REPLAYED, new)}
    assert await task_row(pool, old) == before
    row = await task_row(pool, new)
    for column in ("tenant", "task_type", "payload", "max_retries"):
        assert row[column] == before[column]
    assert (row["state"], row["attempts"], row["fence"], row["replay_of"]) == ("QUEUED", 0, 0, old)
    (announcement,) = await outbox(pool)
    assert (announcement["task_ids"], announcement["is_due"]) == ([new], True)
    detail = await show_dead_letter(pool, old)
    assert detail
    assert (detail.letter.resolution, detail.letter.replayed_as) == ("replayed", new)
    assert len(detail.failures) == 1
    assert await count_open(pool) == (0, False)


async def test_a_second_replay_makes_no_second_task(pool: Pool) -> None:
    (old,) = await dead(pool)
    await replay_dead_letters(pool, {old: uuid7()})
    assert await replay_dead_letters(pool, {old: uuid7()}) == {old: (Outcome.RESOLVED_BEFORE, None)}
    assert await pool.fetchval("select count(*) from tasks where replay_of = $1", old) == 1


async def test_operators_at_the_same_moment_make_one_task_each(pool: Pool) -> None:
    ids = await dead(pool, 20)
    orders = [ids, ids[::-1], ids[::2] + ids[1::2], ids[10:] + ids[:10]]
    answers = await asyncio.gather(
        *(replay_dead_letters(pool, {each: uuid7() for each in order}) for order in orders)
    )
    done = [new for answer in answers for outcome, new in answer.values() if new]
    assert len(done) == len(ids)
    rows = await pool.fetch("select id, replay_of from tasks where replay_of is not null")
    assert {row["id"] for row in rows} == set(done)
    assert {row["replay_of"] for row in rows} == set(ids)


async def test_replaying_and_purging_at_once_does_one_of_them(pool: Pool) -> None:
    ids = await dead(pool, 20)
    replayed, purged = await asyncio.gather(
        replay_dead_letters(pool, {each: uuid7() for each in ids}),
        purge_dead_letters(pool, ids[::-1]),
    )
    for each in ids:
        was_replayed = replayed[each][0] is Outcome.REPLAYED
        assert was_replayed != (purged[each] is Outcome.PURGED)


async def test_what_has_no_dead_task_cannot_be_replayed_but_purged(pool: Pool) -> None:
    stranger, unknown = some_ids(2)
    await bury_rowless(pool, stranger)
    answer = await replay_dead_letters(pool, {stranger: uuid7(), unknown: uuid7()})
    assert answer == {stranger: (Outcome.NO_TASK, None), unknown: (Outcome.NOT_FOUND, None)}
    assert await pool.fetchval("select count(*) from tasks") == 0
    purged = await purge_dead_letters(pool, [stranger, unknown])
    assert purged == {stranger: Outcome.PURGED, unknown: Outcome.NOT_FOUND}
    assert await purge_dead_letters(pool, [stranger]) == {stranger: Outcome.RESOLVED_BEFORE}


async def test_a_buried_message_whose_task_came_back_alive_is_not_replayed(pool: Pool) -> None:
    _, (task,) = await claimed(pool)
    await bury_rowless(pool, task.id)
    assert await replay_dead_letters(pool, {task.id: uuid7()}) == {task.id: (Outcome.NO_TASK, None)}


async def test_a_walk_meets_those_that_died_by_then_oldest_first(pool: Pool) -> None:
    ids = await dead(pool, 5)
    until = await database_now(pool)
    await dead(pool)
    await purge_dead_letters(pool, [ids[2]])
    met: list[UUID] = []
    position = BEGINNING
    while window := await open_dead_letters(pool, until=until, after=position, limit=2):
        met.extend(letter.position.task_id for letter in window)
        position = window[-1].position
    assert met == [*ids[:2], *ids[3:]]
    assert await open_dead_letters(pool, until=until - timedelta(days=1), after=BEGINNING) == []


async def test_only_what_left_the_outbox_is_expected_in_the_queue(pool: Pool) -> None:
    sent = await dead(pool, 3)
    (waiting,) = some_ids(1)
    await bury_rowless(pool, waiting)
    assert await count_open(pool) == (4, True)
    letters = await announced_dead_letters(pool, after=BEGINNING)
    assert {one.position.task_id for one in letters if one.is_announced} == set(sent)
    assert {one.position.task_id for one in letters if not one.is_announced} == {waiting}
    assert await open_among(pool, [*sent, *some_ids(2)]) == set(sent)


async def test_the_walk_is_quick_beside_many_whose_messages_wait(pool: Pool) -> None:
    await pool.execute(
        "insert into dead_letters (task_id, reason, failed_at) "
        "select gen_random_uuid(), 'x', now() from generate_series(1, 50000)"
    )
    await pool.execute(
        "insert into outbox (queue, task_ids, due_at, available_at) "
        "select 'tasks.dlq', array[task_id], now(), now() from dead_letters"
    )
    await pool.execute(
        "insert into dead_letters (task_id, reason, failed_at) "
        "select gen_random_uuid(), 'x', now() - interval '1 hour' from generate_series(1, 3000)"
    )
    started = monotonic()
    window = await announced_dead_letters(pool, after=BEGINNING)
    assert [letter.is_announced for letter in window] == [True] * 2_000
    window = await announced_dead_letters(pool, after=window[-1].position)
    assert [letter.is_announced for letter in window] == [True] * 1_000 + [False] * 1_000
    assert monotonic() - started < 5, "each comparing with each takes longer than that by far"
