"""Workers that die as by SIGKILL, in this process: their connections break, and nothing is drained.

What such a worker still does after its death reaches neither the database nor the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from task_platform.handlers import HandlerRegistry
from task_platform.handlers.registry import Handler
from task_platform.service import Service, cancelled
from task_platform.settings import Settings
from task_platform.storage.pool import Pool, open_pool
from task_platform.worker.process import Worker

from ...link import Link, linked_broker
from ..platform.processes import BUILT_IN, until

HOUR_S = 3_600.0


class Mortal:
    """A worker, its own way to the broker, and its own connections to the database."""

    def __init__(self, service: Service, worker: Worker, pool: Pool, link: Link) -> None:
        self.service = service
        self.worker = worker
        self.link = link
        self.dead = asyncio.Event()
        self._pool = pool

    async def die(self) -> None:
        """Break all connections at once."""
        if not self.dead.is_set():
            self.dead.set()
            self._pool.terminate()
            await self.worker._connections.close()
            await self.link.cut()

    async def bury(self) -> None:
        """End what it still does, so that nothing of it is left in this process."""
        worker = self.worker
        worker._slots.take_last(worker._slots.in_line)
        await worker._slots.interrupt(grace_s=0, end_within_s=5)
        batcher = worker._completer._batcher
        batcher._waiting.clear()
        for task in [*batcher._flushing, *worker._letting_go]:
            await cancelled(task)

    async def broker_has_heard(self) -> None:
        """Return once the broker has processed what this worker sent: it answers in order."""
        assert await self.worker._consumer.depth() is not None


@asynccontextmanager
async def mortal_worker(
    settings: Settings, *handlers: Handler, **changes: Any
) -> AsyncIterator[Mortal]:
    """A worker that consumes, and is dead after the block at the latest.

    handlers: also instead of built-in ones. changes: of its settings.
    """
    async with linked_broker(settings, **changes) as (link, settings):
        own = {handler.task_type for handler in handlers}
        registry = HandlerRegistry(
            [*handlers, *(one for one in BUILT_IN if one.task_type not in own)]
        )
        pool = await open_pool(settings, process="mortal")
        service = Service("worker", settings)
        worker = Worker(service, pool, registry)
        mortal = Mortal(service, worker, pool, link)
        running = asyncio.ensure_future(worker.run())

        async def is_consuming() -> bool:
            return service.readiness.is_ready()

        try:
            await until(is_consuming)
            yield mortal
        finally:
            await mortal.die()
            await cancelled(running)
            await mortal.bury()


async def expire_leases_now(pool: Pool) -> None:
    """Every lease has run out: its owner is dead, or cut off."""
    await pool.execute("update claims set expires_at = now() - interval '1 second'")
