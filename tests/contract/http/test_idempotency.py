"""The Idempotency-Key: one key, one task, whatever the client repeats."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from uuid import UUID

import pytest
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outcomes import finish_succeeded

from ...factories import success
from .conftest import Api
from .problems import problem_of

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2]}, "max_retries": 2}


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


async def test_a_repeat_answers_200_with_the_first_task_idm13(api: Api, key: str) -> None:
    first = await api.post(SUM, key)
    again = await api.post(SUM, key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


async def test_a_repeat_shows_the_task_as_it_is_now_idm12(api: Api, key: str) -> None:
    task_id = UUID((await api.post(SUM, key)).json()["id"])
    (task,) = (await claim_tasks(api.pool, [task_id], owner="w", lease_s=60)).tasks
    await finish_succeeded(api.pool, [success(task)], closed_claims=[])
    again = (await api.post(SUM, key)).json()
    assert (again["id"], again["state"], again["result"]) == (str(task_id), "SUCCEEDED", {"sum": 6})


async def test_quoted_and_bare_are_one_key_idm07(api: Api, key: str) -> None:
    first = await api.post(SUM, f'"{key}"')
    again = await api.post(SUM, key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    "other",
    [
        SUM | {"payload": {"numbers": [2, 1]}},
        SUM | {"task_type": "echo"},
        SUM | {"max_retries": 1},
    ],
)
async def test_another_request_under_the_key_is_refused_idm03(
    api: Api, key: str, other: dict[str, Any]
) -> None:
    first = await api.post(SUM, key)
    problem_of(await api.post(other, key), 422, "idempotency-key-reused")
    now = (await api.client.get(first.headers["location"])).json()
    assert now == first.json() | {"failures": []}


async def test_the_same_request_may_be_spelt_otherwise_in10(api: Api, key: str) -> None:
    first = await api.post(b'{"task_type":"echo","payload":{"a":1.10,"b":2}}', key)
    again = await api.post(
        b'{ "max_retries": 3, "payload": {"b":2,"a":1.1}, "task_type": "echo" }', key
    )
    assert (first.status_code, again.status_code) == (201, 200)


@pytest.mark.parametrize("bad", ["", '""', "a b", "é".encode().decode("latin-1"), "x" * 256, '"'])
async def test_a_key_that_is_none_is_refused(api: Api, bad: str) -> None:
    headers = [(b"Idempotency-Key", bad.encode("latin-1")), (b"Content-Type", b"application/json")]
    answer = await api.client.post("/tasks", json=SUM, headers=headers)
    problem = problem_of(answer, 422, "invalid-input")
    assert problem["pointer"] == "idempotency-key"


async def test_two_keys_are_refused(api: Api) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    problem_of(await api.client.post("/tasks", json=SUM, headers=headers), 422, "invalid-input")


async def test_a_refused_request_does_not_use_up_its_key_idm09(api: Api, key: str) -> None:
    problem_of(await api.post(SUM | {"max_retries": -1}, key), 422, "invalid-input")
    assert (await api.post(SUM, key)).status_code == 201


async def test_fifty_at_once_are_one_task_idm01_idm02(api: Api, key: str) -> None:
    answers = await asyncio.gather(*(api.post(SUM, key) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_without_a_key_every_request_is_a_task(api: Api) -> None:
    answers = [await api.post(SUM) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 2
