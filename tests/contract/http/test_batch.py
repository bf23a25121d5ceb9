"""POST /tasks/batch: many tasks, one commit, an answer for each in its place."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from .conftest import Api
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
        ({"tasks": [{"task_type": "echo"}] * 1_001}, "/tasks"),
    ],
    ids=["list", "empty", "extra", "none", "object", "too many"],
)
async def test_what_is_no_batch_is_refused_whole(api: Api, body: Any, pointer: str | None) -> None:
    problem = problem_of(await api.post(body, path="/tasks/batch"), 422, "invalid-input")
    assert problem.get("pointer") == pointer


async def test_a_batch_of_bad_items_commits_nothing(api: Api) -> None:
    items = await batch(api, {"task_type": ""}, 5)
    assert {item["status"] for item in items} == {422}
