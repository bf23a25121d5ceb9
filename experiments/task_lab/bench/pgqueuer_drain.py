"""One drain of PgQueuer's, from the empty database schema to the last job, by the bench's clock.

Runs as `python -m task_lab.bench.pgqueuer_drain TASKS`, told where by BENCH_DATABASE_URL and by
PGQUEUER_SCHEMA, with a worker as its child. Prints one `Told` as JSON. The schema is made anew and
is gone afterwards.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from pgqueuer import AsyncpgDriver, Queries

from task_lab.bench.pgqueuer import DEADLINE_S, Told
from task_lab.bench.pgqueuer_worker import APPLICATION, ENTRYPOINT
from task_lab.statements import statements_of

PAYLOAD = b'{"numbers":[1,2,3,4,5]}'
WARMUP_TASKS = 1_000
_ENQUEUED_AT_ONCE = 5_000
_POLL_S = 0.05
# Its connections have nothing to say for so long: it waits for a notification.
_QUIET = timedelta(seconds=0.3)
_STOP_S = 5.0
_STATEMENTS = statements_of(Path(__file__).with_name("pgqueuer.sql"))


async def drain(tasks: int) -> Told:
    """Fill the queue before a worker that stands still, let it go, see what became of it all."""
    async with open_queue() as queue, working() as worker:
        warm = await queue.enqueue(WARMUP_TASKS)
        await queue.until_over(warm, worker)
        await queue.until_idle(worker)
        worker.send_signal(signal.SIGSTOP)
        jobs = await queue.enqueue(tasks)
        await queue.analyze()
        released_at = time.time()
        worker.send_signal(signal.SIGCONT)
        await queue.until_over(jobs, worker)
        return await queue.told(jobs, released_at)


@asynccontextmanager
async def open_queue() -> AsyncIterator[Queue]:
    """A fresh installation, removed at the end."""
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE_URL"])
    try:
        await connection.execute(_STATEMENTS["remove"])
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        try:
            yield Queue(connection, queries)
        finally:
            await connection.execute(_STATEMENTS["remove"])
    finally:
        await connection.close()


@asynccontextmanager
async def working() -> AsyncIterator[Process]:
    """A worker process; it is gone at the end, whatever state it was in."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "task_lab.bench.pgqueuer_worker"),
        stdin=PIPE,
        stdout=sys.stderr,  # ours is for what we tell
    )
    try:
        yield worker
    finally:
        assert worker.stdin is not None
        worker.stdin.close()
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(_STOP_S):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()


class Queue:
    """The queue as a client sees it, and its log."""

    def __init__(self, connection: asyncpg.Connection, queries: Queries) -> None:
        self._connection = connection
        self._queries = queries

    async def enqueue(self, count: int) -> list[int]:
        """Enqueue so many jobs, in bulk. Returns their ids, rising; nobody else's are higher."""
        ids: list[int] = []
        for first in range(0, count, _ENQUEUED_AT_ONCE):
            size = min(_ENQUEUED_AT_ONCE, count - first)
            ids += await self._queries.enqueue([ENTRYPOINT] * size, [PAYLOAD] * size, [0] * size)
        return ids

    async def until_over(self, jobs: list[int], worker: Process) -> None:
        """Wait until all have ended: the last one first, which costs the server nothing to see."""
        while not await self._connection.fetchval(_STATEMENTS["is_over"], jobs[-1]):
            await _look_again(worker)
        while (await self._count(jobs))["queued"]:
            await _look_again(worker)

    async def until_idle(self, worker: Process) -> None:
        """Wait until the worker waits for a notification."""
        while await self._connection.fetchval(_STATEMENTS["is_worker_busy"], APPLICATION, _QUIET):
            await _look_again(worker)

    async def analyze(self) -> None:
        """What autovacuum would do within a minute of such a change, as PgQueuer sets it up."""
        await self._connection.execute(_STATEMENTS["analyze"])

    async def told(self, jobs: list[int], released_at: float) -> Told:
        """What became of the jobs."""
        return Told(enqueued=len(jobs), released_at=released_at, **await self._count(jobs))

    async def _count(self, jobs: list[int]) -> asyncpg.Record:
        row = await self._connection.fetchrow(_STATEMENTS["count_jobs"], jobs[0])
        assert row is not None
        return row


async def _look_again(worker: Process) -> None:
    """Some time later. Raises RuntimeError when there is no worker any more."""
    if worker.returncode is not None:
        raise RuntimeError(f"the worker ended with exit code {worker.returncode}")
    await asyncio.sleep(_POLL_S)


async def main() -> None:
    """Drain as many jobs as the command line says, and tell."""
    async with asyncio.timeout(DEADLINE_S):
        told = await drain(int(sys.argv[1]))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(main())
