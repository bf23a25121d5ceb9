"""POST /tasks/batch: many tasks, one commit, an answer for each in its place."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from task_platform.settings import Settings

from .conftest import Api, running_api
from .problems import MARKER, problem_of

ECHO = {"task_type": "echo", "payload": {"x": 1}}


async def batch(api: Api, *tasks: Any) -> list[dict[str, Any]]:
    """The answers to a batch that is taken as a whole."""
    answer = await api.post({"tasks": list(tasks)}, path="/tasks/batch")
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()["items"]
    assert len(items) == len(tasks)
    return items


async def test_every_item_is_answered_in_its_place(api: Api) -> None:
    items = await batch(api, *({"task_type": "echo", "payload": n} for n in range(300)))
    assert [item["task"]["payload"] for item in items] == list(range(300))
    assert {item["status"] for item in items} == {201}
    found = await api.client.get(f"/tasks/{items[7]['task']['id']}")
    assert found.json() == items[7]["task"] | {"failures": []}


async def test_one_bad_item_does_not_harm_the_others(api: Api) -> None:
    bad = {"task_type": "sum", "payload": {"numbers": [MARKER]}}
    items = await batch(api, ECHO, bad, ECHO, "no object", {"task_type": "x y"})
    assert [item["status"] for item in items] == [201, 422, 201, 422, 422]
    for index, item in enumerate(items):
        assert (item["task"] is None) is (item["error"] is not None)
        if item["error"]:
            assert item["error"]["type"] == "urn:task-platform:problem:invalid-input"
            assert item["error"]["pointer"].startswith(f"/tasks/{index}")
            assert MARKER not in str(item)


async def test_keys_are_settled_item_by_item(api: Api) -> None:
    key, other = secrets.token_hex(8), secrets.token_hex(8)
    first = (await batch(api, ECHO | {"idempotency_key": key}))[0]["task"]["id"]
    items = await batch(
        api,
        ECHO | {"idempotency_key": key},
        ECHO | {"idempotency_key": other},
        ECHO | {"idempotency_key": other},
        ECHO | {"idempotency_key": key, "max_retries": 9},
        ECHO,
    )
    assert [item["status"] for item in items] == [200, 201, 200, 422, 201]
    assert items[0]["task"]["id"] == first
    assert items[1]["task"]["id"] == items[2]["task"]["id"]
    assert items[3]["error"]["type"] == "urn:task-platform:problem:idempotency-key-reused"
    assert (await api.post(ECHO, key)).json()["id"] == first


async def test_a_bad_key_is_the_items_own_fault(api: Api) -> None:
    items = await batch(api, ECHO | {"idempotency_key": "a b"}, ECHO | {"idempotency_key": None})
    assert [item["status"] for item in items] == [422, 201]
    assert items[0]["error"]["pointer"] == "/tasks/0/idempotency_key"


async def test_the_largest_batch_is_taken_whole(api: Api) -> None:
    items = await batch(api, *[{"task_type": "echo"}] * 1_000)
    assert {item["status"] for item in items} == {201}
    assert len({item["task"]["id"] for item in items}) == 1_000


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], None),
        ({}, None),
        ({"tasks": [], "x": 1}, None),
        ({"tasks": []}, "/tasks"),
        ({"tasks": {}}, "/tasks"),
        ({"tasks": None}, "/tasks"),
        ({"tasks": [{"task_type": "echo"}] * 1_001}, "/tasks"),
        (rb'{"tasks":[{"task_type":"echo"},"\ud800"]}', None),
        (b'{"tasks":[' + b"[]," * 30_000 + b"[]]}", "/tasks"),
    ],
    ids=[
        "list",
        "empty",
        "extra",
        "none",
        "object",
        "null",
        "too many",
        "surrogate",
        "far too many",
    ],
)
async def test_what_is_no_batch_is_refused_whole(api: Api, body: Any, pointer: str | None) -> None:
    problem = problem_of(await api.post(body, path="/tasks/batch"), 422, "invalid-input")
    assert problem.get("pointer") == pointer


async def test_a_batch_of_bad_items_commits_nothing(api: Api) -> None:
    items = await batch(api, {"task_type": ""}, 5)
    assert {item["status"] for item in items} == {422}


@pytest.mark.parametrize(
    ("item", "status", "pointer"),
    [
        (rb'{"task_type":"echo","payload":{"a":["\u0000"]}}', 422, "/tasks/1/payload/a/0"),
        (b'{"task_type":"echo","payload":1e999}', 422, "/tasks/1"),
        (b"null", 422, "/tasks/1"),
        (b'{"task_type":"echo","payload":"%s"}' % (b"x" * 9_970), 413, "/tasks/1"),
    ],
    ids=["nul", "overflow", "null", "large"],
)
async def test_what_one_item_may_not_have_is_its_own_fault(
    api: Api, item: bytes, status: int, pointer: str
) -> None:
    good = b'{"task_type":"echo"}'
    body = b'{"tasks":[%s,%s,%s]}' % (good, item, good)
    answer = await api.post(body, path="/tasks/batch")
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, status, 201]
    assert items[1]["error"]["status"] == status
    assert items[1]["error"]["pointer"] == pointer


async def test_an_item_may_be_as_large_as_a_body_that_comes_alone(api: Api) -> None:
    frame = {"task_type": "echo", "payload": ""}
    most = api.service.settings.max_body_bytes
    text = "x" * (most - len(json.dumps(frame)))
    alone = await api.post(frame | {"payload": text})
    (item,) = await batch(api, frame | {"payload": text})
    assert (alone.status_code, item["status"]) == (201, 201)
    alone = await api.post(frame | {"payload": text + "x"})
    (item,) = await batch(api, frame | {"payload": text + "x"})
    assert (alone.status_code, item["status"]) == (413, 413)
    assert item["error"]["type"] == alone.json()["type"]


@pytest.mark.parametrize("broken", [b'{"a":}', b'"\xff"', b"01", b"NaN"])
async def test_a_batch_that_is_not_json_is_refused_whole(api: Api, broken: bytes) -> None:
    key = secrets.token_hex(8)
    good = b'{"task_type":"echo","idempotency_key":"%s"}' % key.encode()
    body = b'{"tasks":[%s,%s]}' % (good, broken)
    problem_of(await api.post(body, path="/tasks/batch"), 400, "malformed-json")
    assert (await api.post({"task_type": "echo"}, key)).status_code == 201


async def test_a_key_for_the_whole_batch_is_refused(api: Api) -> None:
    answer = await api.post({"tasks": [ECHO]}, secrets.token_hex(8), path="/tasks/batch")
    problem = problem_of(answer, 422, "invalid-parameter")
    assert problem["parameter"] == "Idempotency-Key"
    assert "`idempotency_key`" in problem["detail"]


async def test_refused_batches_and_items_are_counted(settings: Settings) -> None:
    async with running_api(settings) as api:

        def refused(reason: str) -> float | None:
            return api.service.registry.get_sample_value(
                "api_tasks_refused_total", {"reason": reason}
            )

        await batch(api, ECHO, {"task_type": "x y"}, 5)
        assert refused("client") == 2
        bad: list[Any] = [b"{", {"tasks": []}, b" " * 100_001]
        for body in bad:
            assert (await api.post(body, path="/tasks/batch")).status_code >= 400
        assert refused("client") == 5
        assert (await api.post({"tasks": [ECHO]}, "k", path="/tasks/batch")).status_code == 422
        assert (refused("client"), refused("unavailable")) == (6, 0)
        api.pool.terminate()
        answer = await api.post({"tasks": [ECHO, ECHO, 5]}, path="/tasks/batch")
        assert answer.status_code == 503
        assert (refused("client"), refused("unavailable")) == (6, 2)


async def test_others_have_their_turn_between_the_items_of_a_batch(settings: Settings) -> None:
    large = {"max_body_bytes": 1_000_000, "max_batch_body_bytes": 16_000_000}
    item = b'{"task_type":"x y","payload":[%s[]]}' % (b"[]," * 4_900)
    async with running_api(settings.model_copy(update=large)) as api:
        asked = asyncio.create_task(
            api.post(b'{"tasks":[%s]}' % b",".join([item] * 300), path="/tasks/batch")
        )
        turns = 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert {item["status"] for item in (await asked).json()["items"]} == {422}
        assert turns > 15
