"""What an API committed and did not live to announce is announced by the relay."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ....link import linked
from ..processes import messages_in, running_relay, running_worker, send, until, until_state
from ..real_processes import free_port, started


async def test_an_api_killed_right_after_its_commit_loses_nothing_ob02(
    settings: Settings, pool: Pool, tmp_path: Path, queue_type: str
) -> None:
    settings = settings.model_copy(update={"queue_type": queue_type})
    await send(settings)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with linked(settings.amqp_url.get_secret_value()) as (link, amqp_url):
        # It can commit, and cannot announce: that is where it dies.
        link.freeze()
        async with (
            started(settings, "api", tmp_path, API_PORT=str(port), AMQP_URL=amqp_url) as api,
            httpx.AsyncClient(base_url=url, timeout=10) as client,
        ):

            async def answers() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, within_s=30)
            task = {"task_type": "echo", "payload": 1}
            accepted = await asyncio.gather(*(client.post("/tasks", json=task) for _ in range(20)))
            assert {answer.status_code for answer in accepted} == {201}
            api.send_signal(signal.SIGKILL)
            await api.wait()
    ids = [answer.json()["id"] for answer in accepted]
    assert await messages_in(settings) == 0
    async with running_relay(settings, pool), running_worker(settings, pool):
        done = await until_state(pool, ids, "SUCCEEDED")
    assert {(row["fence"], row["attempts"]) for row in done} == {(1, 1)}
    assert len(done) == 20
