"""How a process ends: drained, with its exit code, whatever its handlers still do."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .processes import announce, rows, submit, until, until_messages, until_state
from .real_processes import exit_of, started


@pytest.mark.parametrize("lane", ["thread", "process"])
async def test_a_handler_that_does_not_end_does_not_keep_a_drained_worker_wk08(
    settings: Settings, pool: Pool, tmp_path: Path, lane: str
) -> None:
    ids = await submit(pool, grace_s=3_600, task_type=lane, max_retries=0)
    await announce(settings, ids)
    async with started(settings, "worker", tmp_path) as worker:
        await until_state(pool, ids, "PROCESSING", within_s=20)

        async def is_at_work() -> bool:
            return lane == "thread" or len(children_of(worker.pid)) > 1

        await until(is_at_work)
        children = children_of(worker.pid)
        worker.send_signal(signal.SIGTERM)
        code, said = await exit_of(worker)
        assert code == 0, said
    (row,) = await rows(pool, ids)
    assert (row["state"], row["attempts"]) == ("QUEUED", 0)

    async def are_gone() -> bool:
        return not any(map(is_alive, children))

    await until(are_gone)


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie only waits for whoever inherited it."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def test_signals_during_a_drain_change_nothing_wk08(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    ids = await submit(pool, grace_s=3_600, task_type="sleep", payload={"seconds": 2})
    await announce(settings, ids)
    async with started(settings, "worker", tmp_path, DRAIN_GRACE_S="20") as worker:
        await until_state(pool, ids, "PROCESSING", within_s=20)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            worker.send_signal(number)
            await asyncio.sleep(0.1)
        code, said = await exit_of(worker)
    assert code == 0, said
    assert "draining" in said
    (row,) = await rows(pool, ids)
    assert (row["state"], row["attempts"]) == ("SUCCEEDED", 1)
    await until_messages(settings, 0)


async def test_a_handler_that_refuses_to_end_does_not_keep_its_process_wk08(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    ids = await submit(pool, grace_s=3_600, task_type="stubborn", max_retries=0)
    await announce(settings, ids)
    async with started(settings, "worker", tmp_path) as worker:
        await until_state(pool, ids, "PROCESSING", within_s=20)
        worker.send_signal(signal.SIGTERM)
        code, said = await exit_of(worker)
    assert code == 0, said
    (row,) = await rows(pool, ids)
    assert (row["state"], row["attempts"]) == ("QUEUED", 0)


async def test_a_wrong_setting_ends_with_78_and_its_name(
    settings: Settings, tmp_path: Path
) -> None:
    async with started(settings, "worker", tmp_path, LEASE_S="soon") as worker:
        code, said = await exit_of(worker)
    assert code == 78
    assert "TASK_PLATFORM_LEASE_S" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("about", "changes"),
    [
        ("no_such_module", {"HANDLERS": "no_such_module"}),
        ("TASK_PLATFORM_HANDLERS", {"HANDLERS": "", "BUILTIN_TYPES": "false"}),
    ],
)
async def test_a_worker_without_handlers_ends_with_78(
    settings: Settings, tmp_path: Path, about: str, changes: dict[str, str]
) -> None:
    async with started(settings, "worker", tmp_path, **changes) as worker:
        code, said = await exit_of(worker)
    assert code == 78
    assert about in said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_ends_with_78(settings: Settings, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    async with started(settings, "relay", tmp_path, OPS_PORT=port) as relay:
        code, said = await exit_of(relay)
    server.close()
    assert code == 78
    assert f"cannot listen on 127.0.0.1:{port}" in said


async def test_migrating_without_a_database_ends_with_1(settings: Settings, tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    async with started(settings, "migrate", tmp_path, DATABASE_URL=url) as migrate:
        code, said = await exit_of(migrate)
    assert code == 1
    assert "Traceback" not in said
