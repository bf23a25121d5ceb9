"""A worker of PgQueuer's, as its own pages say one is to be run for throughput.

A process of its own, told where by BENCH_DATABASE_URL and the PGQUEUER_* variables. It works until
its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job

APPLICATION = "task_lab_pgqueuer_worker"
ENTRYPOINT = "sum"
BATCH = 100
# As in PgQueuer's own example of a pool.
_LEAST_CONNECTIONS, _MOST_CONNECTIONS = 5, 20


async def run(job: Job) -> None:
    """The task itself: the sum of some numbers, JSON in and out; what comes out is kept nowhere."""
    json.dumps({"sum": sum(json.loads(job.payload or b"")["numbers"])})


async def work() -> None:
    """Take jobs until standard input ends."""
    loop = asyncio.get_running_loop()
    end_of_input = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(end_of_input), sys.stdin)
    async with asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=_LEAST_CONNECTIONS,
        max_size=_MOST_CONNECTIONS,
        server_settings={"application_name": APPLICATION},
    ) as pool:
        peer = PgQueuer.from_asyncpg_pool(pool)
        peer.entrypoint(ENTRYPOINT)(run)
        running = asyncio.create_task(peer.run(batch_size=BATCH))
        ending = asyncio.create_task(end_of_input.read())
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        peer.shutdown.set()
        ending.cancel()
        await running


if __name__ == "__main__":
    uvloop.run(work())
