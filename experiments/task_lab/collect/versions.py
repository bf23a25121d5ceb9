"""Versions of the servers of a running stack, as they themselves say."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx

from task_lab.collect.broker import broker_version
from task_lab.collect.database import Ledger
from task_lab.collect.loop import LoopThread
from task_lab.runtime.base import Endpoints

_ANSWER_S = 5.0


def server_versions(endpoints: Endpoints, ledger: Ledger, loop: LoopThread) -> dict[str, str]:
    """Version of postgres, rabbitmq, prometheus and redis."""
    return {
        "postgres": ledger.version(),
        "rabbitmq": loop.run(broker_version(endpoints.amqp_url), _ANSWER_S),
        "prometheus": _prometheus_version(endpoints.prometheus_url),
        "redis": loop.run(_redis_version(endpoints.redis_url), _ANSWER_S),
    }


def _prometheus_version(url: str) -> str:
    answer = httpx.get(f"{url}/api/v1/status/buildinfo", timeout=_ANSWER_S, trust_env=False)
    return str(answer.raise_for_status().json()["data"]["version"])


async def _redis_version(url: str) -> str:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        if address.password:
            writer.write(f"AUTH {address.password}\r\n".encode())
        writer.write(b"INFO server\r\n")
        while line := await reader.readline():
            name, _, value = line.decode().strip().partition(":")
            if name == "redis_version":
                return value
        return "unknown"
    finally:
        writer.close()
        await writer.wait_closed()
