"""Ledger, task queue and dead letter queue of a real Postgres and a real RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import aiormq
import asyncpg
import pandas as pd
import pytest
from task_lab.collect.archive import keep_dead_letter_queue, keep_ledger
from task_lab.collect.broker import QueueSampler
from task_lab.collect.database import Ledger
from task_lab.collect.loop import LoopThread
from task_lab.history import HistoryWriter, Submission
from task_lab.load.wire import SenderReport
from task_lab.measure.bench import wait_drained
from task_lab.store import RunFolder

IDS = [str(UUID(int=number)) for number in range(1, 6)]


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.stop()


@pytest.fixture
def ledger(loop: LoopThread, database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(loop, database_url)
    yield ledger
    ledger.close()


def execute(database_url: str, statement: str, *args: object) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(statement, *args)
        await connection.close()

    asyncio.run(run())


def insert(database_url: str, state: str, ids: list[str] = IDS) -> None:
    execute(
        database_url,
        """
        insert into tasks (id, tenant, task_type, payload, max_retries, state, result,
                           started_at, finished_at)
        select id, '', 'sum', '{}', 3, $2, '{"sum": 15}', now(),
               case when $2 = 'QUEUED' then null else now() end
        from unnest($1::uuid[]) as id
        """,
        ids,
        state,
    )


def test_progress_counts_the_rows_of_an_id_range_and_the_finished_ones(
    ledger: Ledger, database_url: str
) -> None:
    insert(database_url, "SUCCEEDED", IDS[:2])
    insert(database_url, "QUEUED", IDS[2:])
    assert (ledger.progress(IDS[0], IDS[3]).total, ledger.progress(IDS[0], IDS[3]).terminal) == (
        4,
        2,
    )
    assert ledger.unfinished() == 3


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_every_terminal_state_counts_as_finished(
    ledger: Ledger, database_url: str, state: str
) -> None:
    insert(database_url, state)
    assert ledger.progress(IDS[0], IDS[-1]).terminal == 5
    assert ledger.unfinished() == 0


def test_an_unsent_message_is_something_left_to_do(ledger: Ledger, database_url: str) -> None:
    execute(
        database_url,
        """
        insert into outbox (queue, task_ids, due_at, available_at)
        values ('tasks', $1, now(), now())
        """,
        IDS,
    )
    assert ledger.outbox_rows() == 1
    assert ledger.unfinished() == 1


def report(accepted: int) -> SenderReport:
    return SenderReport(
        phase="p",
        submitted=accepted,
        accepted=accepted,
        rejected=0,
        unknown=0,
        first_scheduled_at=1.0,
        first_sent_at=1.0,
        last_answered_at=2.0,
        duration_s=1.0,
        cpu_s=0.5,
        loop_lag_s=[],
        send_lag_s=[],
        first_id=IDS[0],
        last_id=IDS[-1],
        problems={},
    )


def test_c12_drained_means_finished_and_as_many_as_were_accepted(
    ledger: Ledger, database_url: str
) -> None:
    insert(database_url, "SUCCEEDED", IDS[:4])
    assert not wait_drained(ledger, report(accepted=5), timeout_s=0.2)  # one is missing
    assert wait_drained(ledger, report(accepted=4), timeout_s=5)
    insert(database_url, "QUEUED", IDS[4:])
    assert not wait_drained(ledger, report(accepted=4), timeout_s=0.2)  # one is not finished


def test_the_whole_ledger_is_kept_with_plain_columns_and_its_phases(
    ledger: Ledger, database_url: str, tmp_path: Path
) -> None:
    insert(database_url, "SUCCEEDED", IDS[:4])
    insert(database_url, "QUEUED", IDS[4:])
    execute(
        database_url,
        "insert into dead_letters (task_id, reason, failed_at) values ($1, 'exhausted', now())",
        IDS[3],
    )
    folder = RunFolder(tmp_path)
    folder.append_event("phase_started", phase="p", workload="sum", workers=3, kind="round")
    with HistoryWriter(folder / "history.jsonl") as history:
        for index, task_id in enumerate(IDS[:3]):
            history.add(Submission("p", index, task_id, "accepted", 201, 1.0, 1.0, 2.0))
    assert keep_ledger(folder, ledger) == 5

    tasks = pd.read_parquet(folder / "tasks.parquet")
    assert tasks["id"].tolist() == IDS
    assert "payload" not in tasks
    assert tasks["created_at"].dtype == tasks["finished_at"].dtype == "float64"
    assert abs(tasks["created_at"].iloc[0] - time.time()) < 60
    assert tasks["finished_at"].isna().tolist() == [False] * 4 + [True]
    assert json.loads(tasks["result"].iloc[0]) == {"sum": 15}
    assert tasks["workload"].isna().tolist() == [False] * 3 + [True] * 2
    assert tasks["workers"].iloc[0] == 3
    dead = pd.read_parquet(folder / "dead_letters.parquet")
    assert dead["task_id"].tolist() == [IDS[3]]
    assert dead["resolved_at"].isna().all()


def test_an_empty_ledger_is_kept_too(ledger: Ledger, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with HistoryWriter(folder / "history.jsonl"):
        pass
    assert keep_ledger(folder, ledger) == 0
    assert len(pd.read_parquet(folder / "attempt_failures.parquet")) == 0


def test_failed_attempts_are_kept_as_reasons_for_another_claim(
    ledger: Ledger, database_url: str
) -> None:
    execute(
        database_url,
        """
        insert into attempt_failures
            (task_id, fence, attempt, worker, started_at, ended_at, outcome, error_type, message)
        values ($1, 2, 1, 'w', to_timestamp(1), to_timestamp(2), 'retried', 'Boom', 'private')
        """,
        IDS[0],
    )
    (row,) = ledger.attempt_failures().to_dict("records")
    assert (row["task_id"], row["fence"], row["outcome"]) == (IDS[0], 2, "retried")
    assert (row["started_at"], row["ended_at"]) == (1.0, 2.0)
    assert "message" not in row


def test_d7_the_clocks_of_one_machine_agree(ledger: Ledger) -> None:
    assert abs(ledger.clock_skew_s()) < 0.5
    assert ledger.version().startswith("PostgreSQL ")


async def fill(amqp_url: str, queue: str, bodies: list[bytes]) -> None:
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    await channel.queue_declare(queue, durable=True)
    for body in bodies:
        await channel.basic_publish(body, routing_key=queue)
    await connection.close()


def test_dead_letters_are_read_and_stay_where_they_are(
    loop: LoopThread, amqp_url: str, tmp_path: Path
) -> None:
    bodies = [json.dumps({"v": 1, "id": task_id}).encode() for task_id in IDS]
    loop.run(fill(amqp_url, "tasks.dlq", bodies))
    folder = RunFolder(tmp_path)
    for _ in range(2):
        keep_dead_letter_queue(folder, amqp_url, loop)
        kept = folder.read_json("dlq.json")
        assert kept["count"] == 5
        assert sorted(kept["message_ids"]) == IDS


def samples(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_depth_is_sampled_four_times_a_second_and_null_while_the_queue_is_away(
    loop: LoopThread, amqp_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl"
    sampler = QueueSampler(loop, amqp_url, path)
    wait_for(lambda: len(samples(path)) >= 2)
    loop.run(fill(amqp_url, "tasks", [b"{}"] * 3))
    wait_for(lambda: samples(path)[-1]["ready"] == 3)
    count = len(samples(path))
    wait_for(lambda: len(samples(path)) >= count + 4)
    sampler.stop()
    taken = samples(path)
    assert taken[0]["ready"] is None
    assert (taken[-1]["ready"], taken[-1]["consumers"]) == (3, 0)
    gaps = [later["at"] - one["at"] for one, later in pairwise(taken[count:])]
    assert sum(gaps) / len(gaps) == pytest.approx(0.25, abs=0.1)


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


def test_a_stopped_sampler_leaves_nothing_running(
    loop: LoopThread, amqp_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl"
    sampler = QueueSampler(loop, amqp_url, path)
    wait_for(lambda: len(samples(path)) >= 1)
    sampler.stop()
    wait_for(lambda: loop.run(count_tasks()) == 1)  # none but the counting itself


def wait_for(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
