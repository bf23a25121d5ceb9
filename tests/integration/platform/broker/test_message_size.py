"""Messages name their tasks and nothing else: no payload is too large for the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from task_lab.runtime.servers import NativeServers, started
from task_platform import wire
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..connections.whole import running_whole
from ..processes import (
    rows,
    running_relay,
    running_worker,
    submit,
    until_messages,
    until_sample,
    until_state,
)

BROKER_LIMIT = 1_000
API_LIMIT = 10_000


@pytest.fixture(autouse=True)
async def _small_messages_only(servers: NativeServers) -> AsyncIterator[None]:
    """The broker closes every new channel over which a message above the limit comes."""
    rabbitmq = started(servers.rabbitmq)
    say = "application:get_env(rabbit, max_message_size)."
    before = await asyncio.to_thread(rabbitmq.ctl, "eval", say)
    set_it = "application:set_env(rabbit, max_message_size, {})."
    await asyncio.to_thread(rabbitmq.ctl, "eval", set_it.format(BROKER_LIMIT))
    yield
    value = before.removeprefix("{ok,").removesuffix("}")
    await asyncio.to_thread(rabbitmq.ctl, "eval", set_it.format(value))


async def test_the_only_limit_to_a_payload_is_the_api_s_br16(
    settings: Settings, pool: Pool
) -> None:
    settings = settings.model_copy(update={"max_body_bytes": API_LIMIT})
    async with running_whole(settings, pool) as whole:
        accepted = []
        for size, status in ((API_LIMIT - 1, 201), (API_LIMIT, 201), (API_LIMIT + 1, 413)):
            empty = json.dumps({"task_type": "echo", "payload": {"text": ""}})
            text = "x" * (size - len(empty))
            body = json.dumps({"task_type": "echo", "payload": {"text": text}})
            assert len(body) == size
            answer = await whole.http.post(
                "/tasks", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == status, answer.text
            if status == 201:
                accepted.append(UUID(answer.json()["id"]))
            else:
                assert answer.json()["type"].endswith(":body-too-large")
        rows = await until_state(pool, accepted, "SUCCEEDED")
        assert [len(json.loads(row["payload"])["text"]) > BROKER_LIMIT for row in rows] == [
            True
        ] * 2
        assert await pool.fetchval("select count(*) from tasks") == len(accepted)


async def test_a_message_that_is_too_large_costs_its_neighbours_nothing_br16(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await submit(pool, 101)
    encode, forced = wire.encode_message, [ids[50]]

    def encode_one_too_large(task_id: UUID) -> bytes:
        body = encode(task_id)
        if task_id not in forced:
            return body
        forced.remove(task_id)
        return body.ljust(2 * BROKER_LIMIT)

    monkeypatch.setattr(wire, "encode_message", encode_one_too_large)
    async with running_relay(settings, pool) as relay, running_worker(settings, pool):
        await until_state(pool, ids, "SUCCEEDED", within_s=30)
        assert not forced
        await until_sample(relay, "relay_announced_total", len(ids))
        assert relay.readiness.is_ready()
        # What was confirmed before the channel died may have come twice, and has run once.
        assert {row["fence"] for row in await rows(pool, ids)} == {1}
        await until_messages(settings, 0)
