"""The bare minimum for the platform's durable work: straight loops over asyncpg and aiormq.

Per task, as the platform: a row and an outbox entry commit together, a persistent message is
confirmed by a quorum queue, a claim and a result are committed, then the message is acknowledged.
Left out: HTTP, validation, leases, retries, metrics. The recipe is fixed (batches of 250, prefetch
500, 2 lanes, one process a side); it stands in this one file, SQL included, so that one hash names
what was measured. Changing anything here starts a new series of figures.

Runs as `python -m task_lab.floor_loops prepare|submit|drain|remove TASKS`, told where by FLOOR_*
variables. `submit` and `drain` print {"begun_at", "ended_at"} in seconds of the system's monotonic
clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import aiormq
import asyncpg
import uvloop
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from uuid_utils.compat import uuid7

Lane = tuple[asyncpg.Connection, AbstractChannel]

BATCH = 250
PREFETCH = 500
LANES = 2

QUEUE = "task_lab_floor"
PAYLOAD = '{"numbers":[1,2,3,4,5]}'
PERSISTENT = Basic.Properties(delivery_mode=2)

PREPARE = """
create schema task_lab_floor
    create table tasks (
        id uuid primary key,
        payload json not null,
        state text not null,
        attempts smallint not null default 0,
        fence bigint not null default 0,
        result json,
        created_at timestamptz not null default now(),
        started_at timestamptz,
        finished_at timestamptz
    ) with (fillfactor = 50)
    create table outbox (
        id bigint generated always as identity primary key,
        task_ids uuid[] not null
    )
"""
REMOVE = "drop schema if exists task_lab_floor cascade"
INSERT = """
with accepted as (
    insert into task_lab_floor.tasks (id, payload, state)
    select id, payload, 'QUEUED' from unnest($1::uuid[], $2::json[]) as fresh (id, payload)
    returning id
)
insert into task_lab_floor.outbox (task_ids) select array_agg(id) from accepted returning id
"""
ANNOUNCED = "delete from task_lab_floor.outbox where id = $1"
CLAIM = """
update task_lab_floor.tasks
set state = 'PROCESSING', attempts = attempts + 1, fence = fence + 1, started_at = now()
where id = any($1::uuid[]) and state = 'QUEUED'
returning id, payload, fence
"""
FINISH = """
update task_lab_floor.tasks as t
set state = 'SUCCEEDED', result = done.result, finished_at = clock_timestamp()
from unnest($1::uuid[], $2::bigint[], $3::json[]) as done (id, fence, result)
where t.id = done.id and t.fence = done.fence and t.state = 'PROCESSING'
"""


async def submit_lane(database: asyncpg.Connection, channel: AbstractChannel, tasks: int) -> None:
    """Accept `tasks` tasks: commit a batch, publish it, take it off the outbox."""
    for offset in range(0, tasks, BATCH):
        ids = [uuid7() for _ in range(min(BATCH, tasks - offset))]
        outbox_id = await database.fetchval(INSERT, ids, [PAYLOAD] * len(ids))
        await asyncio.gather(
            *(
                channel.basic_publish(
                    id_.bytes, routing_key=QUEUE, properties=PERSISTENT, mandatory=True
                )
                for id_ in ids
            )
        )
        await database.execute(ANNOUNCED, outbox_id)


def run(payload: str) -> str:
    """The task itself: the sum of some numbers, JSON in and out."""
    return json.dumps({"sum": sum(json.loads(payload)["numbers"])})


class Drain:
    """Counts finished tasks over all lanes."""

    def __init__(self, tasks: int) -> None:
        self.remaining = tasks
        self.begun_at = 0.0
        self.done = asyncio.Event()

    async def lane(self, database: asyncpg.Connection, channel: AbstractChannel) -> None:
        """Claim, run, finish and acknowledge batch after batch, until cancelled."""
        deliveries: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        await channel.basic_qos(prefetch_count=PREFETCH)
        await channel.basic_consume(QUEUE, deliveries.put)
        while True:
            batch = [await deliveries.get()]
            while len(batch) < BATCH and not deliveries.empty():
                batch.append(deliveries.get_nowait())
            self.begun_at = self.begun_at or time.monotonic()
            ids = [UUID(bytes=message.body) for message in batch]
            claimed = await database.fetch(CLAIM, ids)
            await database.execute(
                FINISH,
                [row["id"] for row in claimed],
                [row["fence"] for row in claimed],
                [run(row["payload"]) for row in claimed],
            )
            last = max(message.delivery_tag or 0 for message in batch)
            await channel.basic_ack(last, multiple=True)
            self.remaining -= len(claimed)
            if self.remaining <= 0:
                self.done.set()


async def submit(tasks: int) -> None:
    """Submit over all lanes, each taking its share; timed up to the last commit."""
    async with open_lanes() as lanes:
        shares = [tasks // LANES + (number < tasks % LANES) for number in range(LANES)]
        begun_at = time.monotonic()
        await asyncio.gather(
            *(submit_lane(*lane, share) for lane, share in zip(lanes, shares, strict=True))
        )
        say(json.dumps({"begun_at": begun_at, "ended_at": time.monotonic()}))


async def drain(tasks: int) -> None:
    """Say `consuming`, then drain over all lanes; timed from the first claim to the last ack."""
    async with open_lanes() as lanes:
        progress = Drain(tasks)
        loops = [asyncio.create_task(progress.lane(*lane)) for lane in lanes]
        end = asyncio.create_task(progress.done.wait())
        say("consuming")
        ended, _ = await asyncio.wait([end, *loops], return_when=asyncio.FIRST_COMPLETED)
        ended_at = time.monotonic()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*ended)  # a lane ends by itself only with an error
        say(json.dumps({"begun_at": progress.begun_at, "ended_at": ended_at}))


def say(line: str) -> None:
    """Print a line for whoever started this process, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def prepare(_: int) -> None:
    """Make the schema and the queue anew."""
    await remove(0)
    async with open_lanes() as [(database, channel), *_rest]:
        await database.execute(PREPARE)
        await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


async def remove(_: int) -> None:
    """Delete the schema and the queue; nothing where there is none."""
    async with open_lanes() as [(database, channel), *_rest]:
        await database.execute(REMOVE)
        await channel.queue_delete(QUEUE)


@asynccontextmanager
async def open_lanes() -> AsyncIterator[list[Lane]]:
    """Each lane's database connection, and channel on a broker connection of its own."""
    async with AsyncExitStack() as stack:
        lanes = []
        for _ in range(LANES):
            database = await asyncpg.connect(os.environ["FLOOR_DATABASE_URL"])
            stack.push_async_callback(database.close)
            broker = await aiormq.connect(os.environ["FLOOR_AMQP_URL"])
            stack.push_async_callback(broker.close)
            lanes.append((database, await broker.channel()))
        yield lanes


if __name__ == "__main__":
    step = {"prepare": prepare, "submit": submit, "drain": drain, "remove": remove}[sys.argv[1]]
    uvloop.run(step(int(sys.argv[2])))
