"""The peer drains its queue, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path

import asyncpg
import pytest
from task_lab.bench.pgqueuer import MissingPgQueuer, drain_pgqueuer, pgqueuer_version
from task_lab.errors import ProgramFailed
from task_lab.runtime.servers import NativeServers


@pytest.fixture
def _peer() -> None:
    try:
        pgqueuer_version()
    except MissingPgQueuer as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_peer")
async def test_every_job_is_drained_once_and_the_schema_is_gone(
    servers: NativeServers, tmp_path: Path
) -> None:
    url = servers.endpoints().database_url
    before = time.time()
    drained = drain_pgqueuer(url, 300, scratch=tmp_path)
    assert drained.tasks == 300
    assert before < drained.released_at < drained.ended_at < time.time()
    connection = await asyncpg.connect(url)
    try:
        schemas = "select from pg_namespace where nspname = 'task_lab_pgqueuer'"
        assert await connection.fetch(schemas) == []
    finally:
        await connection.close()


@pytest.mark.usefixtures("_peer")
def test_a_server_that_cannot_be_reached_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="Connect"):
        drain_pgqueuer("postgresql://x@127.0.0.1:1/x", 10, scratch=tmp_path)
