"""Commands of the platform as processes of their own, from start to exit."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it said."""

    code: int | None
    out: str
    err: str


@asynccontextmanager
async def launched(
    *arguments: str, settings: Mapping[str, str], stdout: int | None = None, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`task-platform` with these arguments; killed at the end if it is still there.

    settings: by their names in the environment, without the prefix.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "task_platform.cli",
        *arguments,
        env={
            **os.environ,
            **environment,
            **{f"TASK_PLATFORM_{name}": value for name, value in settings.items()},
        },
        # Nobody is there to answer.
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def begun(database_url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command on this database; killed at the end if it is still there."""
    settings = {"DATABASE_URL": database_url}
    async with launched(
        *arguments, settings=settings, stdout=asyncio.subprocess.PIPE, COLUMNS="200"
    ) as process:
        yield process


async def finished(database_url: str, *arguments: str, within_s: float = 60.0) -> Finished:
    """The command's end."""
    async with begun(database_url, *arguments) as process, asyncio.timeout(within_s):
        out, err = await process.communicate()
    return Finished(process.returncode, out.decode(), err.decode())
