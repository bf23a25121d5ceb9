"""Sends a trial's load over HTTP, and repeats what was not answered, as a careful client would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx

from task_lab.chaos.history import Answer, History
from task_lab.chaos.load import Call, Submission
from task_lab.load.sender import open_transport

# Shorter than the API's own patience: some answers come too late for their client.
_ANSWER_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0
_REPLAY_AFTER_S = 0.5


class LoadClient:
    """Offers calls to all APIs; every send and answer goes through the history."""

    def __init__(self, api_urls: Sequence[str], history: History) -> None:
        self._api_urls = api_urls
        self._history = history
        self._sends = 0

    async def offer(self, calls: Sequence[Call]) -> None:
        """Send each call at its time; returns when none is waited for any more."""
        began = time.monotonic()
        async with (
            httpx.AsyncClient(transport=open_transport(), trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for call in calls:
                await asyncio.sleep(max(0.0, began + call.at_s - time.monotonic()))
                group.create_task(self._perform(http, call))

    async def _perform(self, http: httpx.AsyncClient, call: Call) -> None:
        unclear, pause_s = call.submissions, _FIRST_PAUSE_S
        for attempt in range(call.tries):
            if attempt:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            answers = await self._send(http, call, unclear, api=call.api + attempt)
            unclear = tuple(
                one
                for one, answer in zip(unclear, answers, strict=True)
                if answer.outcome == "info"
            )
            if not unclear:
                break
        if call.is_replayed and not unclear:
            await asyncio.sleep(_REPLAY_AFTER_S)
            await self._send(http, call, call.submissions, api=call.api + 1)

    async def _send(
        self, http: httpx.AsyncClient, call: Call, submissions: tuple[Submission, ...], *, api: int
    ) -> list[Answer]:
        api %= len(self._api_urls)
        self._sends += 1
        number = self._sends
        self._history.invoked(submissions, call=number, api=api)
        try:
            async with asyncio.timeout(_ANSWER_S):
                if call.is_batch:
                    answers = await _post_batch(http, self._api_urls[api], submissions)
                else:
                    answers = [await _post(http, self._api_urls[api], submissions[0])]
        except (httpx.HTTPError, TimeoutError) as error:
            answers = [Answer("info", None, type(error).__name__)] * len(submissions)
        self._history.answered(submissions, answers, call=number)
        return answers


async def _post(http: httpx.AsyncClient, url: str, submission: Submission) -> Answer:
    answer = await http.post(
        f"{url}/tasks", json=submission.body(), headers={"Idempotency-Key": submission.key}
    )
    return _judge(answer.status_code, answer.json() if answer.is_success else None)


async def _post_batch(
    http: httpx.AsyncClient, url: str, submissions: Sequence[Submission]
) -> list[Answer]:
    items = [{**one.body(), "idempotency_key": one.key} for one in submissions]
    answer = await http.post(f"{url}/tasks/batch", json={"tasks": items})
    if not answer.is_success:
        return [_judge(answer.status_code, None)] * len(submissions)
    return [_judge(item["status"], item["task"]) for item in answer.json()["items"]]


def _judge(status: int, task: dict[str, Any] | None) -> Answer:
    # A 5xx says that the server failed, not that it did nothing: the ledger will tell.
    if task is not None and status in (200, 201):
        return Answer("ok", str(task["id"]), str(status))
    return Answer("fail" if 400 <= status < 500 else "info", None, str(status))
