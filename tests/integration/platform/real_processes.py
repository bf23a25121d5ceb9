"""The platform's processes as real ones, to be signalled, stopped and killed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from task_platform.settings import Settings

from .commands import launched

HANDLERS = """
import asyncio
import time
from task_platform.handlers import task

@task("thread")
def thread(payload):
    time.sleep(120)

@task("process", process=True)
def process(payload):
    time.sleep(120)

@task("stubborn")
async def stubborn(payload):
    while True:
        try:
            await asyncio.sleep(120)
        except asyncio.CancelledError:
            pass
"""


@asynccontextmanager
async def started(
    settings: Settings, command: str, folder: Path, **changes: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the platform, killed at the end if it is still there."""
    (folder / "slow_handlers.py").write_text(HANDLERS)
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "AMQP_URL": settings.amqp_url.get_secret_value(),
        "HANDLERS": "slow_handlers",
        "DRAIN_GRACE_S": "0.2",
        "FINAL_SCRAPE_WAIT_S": "0",
        "OPS_PORT": "0",
        "API_PORT": "0",
    } | changes
    async with launched(command, settings=environment, PYTHONPATH=str(folder)) as process:
        yield process


async def exit_of(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """The exit code, which must come soon, and what was said."""
    async with asyncio.timeout(15):
        _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
