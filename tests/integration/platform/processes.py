"""The platform's processes as tasks of this one, on real services."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
from task_platform import wire
from task_platform.broker import client, topology
from task_platform.errors import BrokerUnavailable
from task_platform.handlers import HandlerRegistry, builtin
from task_platform.handlers.registry import Handler, handlers_of
from task_platform.relay.process import Relay
from task_platform.service import Service
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.submissions import submit_tasks
from task_platform.worker.process import Worker

from ...factories import new_task

BUILT_IN = handlers_of(builtin)


async def until(condition: Callable[[], Awaitable[Any]], *, within_s: float = 10.0) -> Any:
    """The condition's answer, as soon as it is true."""
    async with asyncio.timeout(within_s):
        while not (answer := await condition()):
            await asyncio.sleep(0.02)
        return answer


@asynccontextmanager
async def running(
    service: Service, process: Callable[[], Awaitable[None]]
) -> AsyncIterator[Service]:
    """The process from ready to drained."""
    task = asyncio.ensure_future(process())

    async def is_ready() -> bool:
        if task.done():
            task.result()
        return service.readiness.is_ready()

    try:
        await until(is_ready)
        yield service
    finally:
        service.stopping.set()
        async with asyncio.timeout(20):
            await task


@asynccontextmanager
async def running_worker(
    settings: Settings, pool: Pool, *handlers: Handler
) -> AsyncIterator[Service]:
    """A worker with the built-in handlers and these."""
    service = Service("worker", settings)
    worker = Worker(service, pool, HandlerRegistry([*BUILT_IN, *handlers]))
    async with running(service, worker.run):
        yield service


@asynccontextmanager
async def running_relay(settings: Settings, pool: Pool) -> AsyncIterator[Service]:
    """A relay."""
    service = Service("relay", settings)
    service.readiness.set("start", met=True)
    async with running(service, Relay(service, pool).run):
        yield service


def sample(service: Service, name: str, **labels: str) -> float:
    """A metric of the process."""
    value = service.registry.get_sample_value(name, labels)
    assert value is not None, name
    return value


async def until_sample(
    service: Service,
    name: str,
    value: float,
    *,
    or_more: bool = False,
    within_s: float = 10.0,
    **labels: str,
) -> None:
    """Return once a metric has reached this value: a process counts after it has committed."""
    reached = operator.ge if or_more else operator.eq
    try:
        async with asyncio.timeout(within_s):
            while not reached(sample(service, name, **labels), value):
                await asyncio.sleep(0.02)
    except TimeoutError:
        seen = sample(service, name, **labels)
        assert reached(seen, value), f"{name} is {seen:g}, not {value:g}"


async def submit(pool: Pool, count: int = 1, *, grace_s: float = 0.0, **fields: Any) -> list[UUID]:
    """Commit so many equal tasks, for the relay to announce."""
    tasks = [new_task(**fields) for _ in range(count)]
    await submit_tasks(pool, tasks, grace_s=grace_s, key_ttl_s=60)
    return [task.id for task in tasks]


async def send(settings: Settings, *bodies: bytes, queue: str = topology.TASKS) -> None:
    """Put messages on a queue, confirmed."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        await client.declare_all(channel, settings)
        for body in bodies:
            await channel.basic_publish(body, routing_key=queue)


async def announce(settings: Settings, ids: Sequence[UUID]) -> None:
    """Put the tasks' messages on the queue."""
    await send(settings, *map(wire.encode_message, ids))


async def delete_queue(settings: Settings, queue: str = topology.TASKS) -> None:
    """Delete a queue and whatever is in it."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        await channel.queue_delete(queue)


async def messages_in(settings: Settings, queue: str = topology.TASKS) -> int:
    """Messages ready on a queue."""
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        return (await client.queue_depth(channel, queue)).ready


async def until_messages(
    settings: Settings, count: int, *, queue: str = topology.TASKS, within_s: float = 10.0
) -> None:
    """Return once so many messages are ready: a quorum queue's count follows its confirms.

    A queue that nobody has declared yet is waited for as well.
    """
    try:
        async with asyncio.timeout(within_s):
            while True:
                with suppress(BrokerUnavailable):
                    if await messages_in(settings, queue) == count:
                        return
                await asyncio.sleep(0.02)
    except TimeoutError:
        seen = await messages_in(settings, queue)
        assert seen == count, f"{queue} holds {seen}, not {count}"


async def rows(pool: Pool, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """The tasks as the database has them, in the order of their ids."""
    return await pool.fetch("select * from tasks where id = any($1) order by id", ids)


async def until_state(
    pool: Pool, ids: Sequence[UUID], state: str, *, within_s: float = 10.0
) -> list[asyncpg.Record]:
    """The tasks, as soon as all are in this state."""

    async def all_there() -> list[asyncpg.Record]:
        found = await rows(pool, ids)
        return found if {row["state"] for row in found} == {state} else []

    found: list[asyncpg.Record] = await until(all_there, within_s=within_s)
    return found
