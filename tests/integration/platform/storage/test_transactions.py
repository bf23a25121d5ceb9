"""Transactions of handlers, whatever becomes of the session meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from task_platform.settings import Settings
from task_platform.storage.pool import Pool
from task_platform.storage.transactions import HandlerConnections, HandlerTransaction

TIMES = 20


@pytest.mark.parametrize("after_s", [0, 0.02])
async def test_one_whose_session_the_server_has_ended_ends_quietly(
    settings: Settings, pool: Pool, after_s: float
) -> None:
    connections = HandlerConnections(settings)
    try:
        for _ in range(TIMES):
            transaction = await HandlerTransaction(connections).begin()
            session = transaction.connection.get_server_pid()
            await pool.execute("select pg_terminate_backend($1)", session)
            # The link may not be down yet, or it is.
            await asyncio.sleep(after_s)
            await transaction.end()
    finally:
        await connections.close()
