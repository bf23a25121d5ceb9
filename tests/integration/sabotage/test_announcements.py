"""What is committed reaches the broker: the outbox, and the wait for the broker's confirms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from task_platform.announcer import announce
from task_platform.broker import topology
from task_platform.broker.publisher import Publisher
from task_platform.settings import Settings
from task_platform.storage.outbox import claim_outbox_rows
from task_platform.storage.pool import Pool

from ...factories import some_ids
from ..histories import submitted
from ..platform.processes import delete_queue, running_relay, running_worker
from .rewriting import rewrite_statement
from .verdicts import assert_lost_without_protection


async def test_a_commit_that_nobody_announced_reaches_a_worker(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_protected: bool
) -> None:
    """The API dies between its commit and its first message. Sabotage: the outbox row of the tasks
    goes where no relay looks.
    """
    if not is_protected:
        rewrite_statement(
            monkeypatch,
            "insert_keyed_tasks",
            "insert into outbox (",
            "insert into lab_void (",
        )
        await pool.execute("create table lab_void (like outbox including identity)")
    operations = await submitted(pool, 2)
    async with running_relay(settings, pool), running_worker(settings, pool):
        await assert_lost_without_protection(
            settings, operations, lost=2, is_protected=is_protected
        )


async def test_a_message_that_the_broker_returned_is_sent_again(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_protected: bool
) -> None:
    """The queue vanishes under a connected publisher, whose messages are returned. Sabotage: the
    publisher takes everything it wrote for confirmed.
    """
    if not is_protected:
        _confirm_everything(monkeypatch)
    publisher = Publisher(settings, name="test")
    await publisher.publish(topology.TASKS, some_ids(1))
    await delete_queue(settings)
    operations = await submitted(pool, 2)
    rows = await claim_outbox_rows(pool, queue=topology.TASKS, limit=10, hide_s=1)
    sent, remaining = await announce(pool, publisher, rows, retry_in_s=0)
    assert (sent, remaining) == ((0, 2) if is_protected else (2, 0))
    await publisher.close()
    async with running_relay(settings, pool), running_worker(settings, pool):
        await assert_lost_without_protection(
            settings, operations, lost=2, is_protected=is_protected
        )


def _confirm_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = Publisher.publish

    async def confirmed(
        publisher: Publisher, queue: str, task_ids: Sequence[UUID], **options: Any
    ) -> set[UUID]:
        await publish(publisher, queue, task_ids, **options)
        return set(task_ids)

    monkeypatch.setattr(Publisher, "publish", confirmed)
