"""GET /tasks: newest first, filtered, page by page."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

import pytest
from task_platform.storage import reads
from task_platform.storage.claims import claim_tasks

from .conftest import Api
from .problems import MARKER, problem_of


@pytest.fixture
def task_type() -> str:
    """A type of this test's own, so that others' tasks do not show."""
    return f"list-{secrets.token_hex(4)}"


async def submit(api: Api, task_type: str, count: int) -> list[str]:
    """Ids of so many new tasks, newest first."""
    body = {"tasks": [{"task_type": task_type, "payload": n} for n in range(count)]}
    items = (await api.post(body, path="/tasks/batch")).json()["items"]
    return sorted((item["task"]["id"] for item in items), reverse=True)


async def pages(api: Api, **params: Any) -> list[list[str]]:
    """Ids of every page."""
    found: list[list[str]] = []
    while len(found) < 100:
        answer = await api.client.get("/tasks", params=params)
        assert answer.status_code == 200
        page = answer.json()
        found.append([task["id"] for task in page["items"]])
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]
    raise AssertionError("no end of pages")


def flat(pages: list[list[str]]) -> list[str]:
    """All pages as one."""
    return [task_id for page in pages for task_id in page]


async def test_pages_hold_every_task_once_newest_first(api: Api, task_type: str) -> None:
    ids = await submit(api, task_type, 25)
    found = await pages(api, task_type=task_type, limit=10)
    assert [len(page) for page in found] == [10, 10, 5]
    assert flat(found) == ids


async def test_tasks_that_come_meanwhile_do_not_shift_the_pages(api: Api, task_type: str) -> None:
    ids = await submit(api, task_type, 4)
    first = (await api.client.get("/tasks", params={"task_type": task_type, "limit": 2})).json()
    await submit(api, task_type, 3)
    rest = await pages(api, task_type=task_type, limit=2, cursor=first["next_cursor"])
    assert [task["id"] for task in first["items"]] + flat(rest) == ids


async def test_the_state_is_a_filter(api: Api, task_type: str) -> None:
    ids = await submit(api, task_type, 5)
    taken = {UUID(ids[1]), UUID(ids[3])}
    await claim_tasks(api.pool, taken, owner="w", lease_s=60)
    found = await pages(api, task_type=task_type, state="PROCESSING")
    assert flat(found) == [ids[1], ids[3]]
    assert flat(await pages(api, task_type=task_type, state="FAILED")) == []


async def test_a_listed_task_is_the_task(api: Api, task_type: str) -> None:
    (task_id,) = await submit(api, task_type, 1)
    page = (await api.client.get("/tasks", params={"task_type": task_type})).json()
    (listed,) = page["items"]
    assert (await api.client.get(f"/tasks/{task_id}")).json() == listed | {"failures": []}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "RUNNING"),
        ("state", "queued"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "many"),
        ("limit", "9" * 5_000),
        ("cursor", MARKER),
        ("task_type", "a b"),
        ("task_type", "\x00"),
        ("limit", "+5"),
        ("limit", " 5"),
        ("limit", "1_0"),
        ("limit", "1.0"),
        ("limit", "-0"),
        ("limit", "\uff15"),
        ("limit", "\u0665"),
        ("limit", ""),
        ("state", ""),
        ("task_type", ""),
        ("cursor", ""),
        ("nosuch", "1"),
        ("Limit", "1"),
        ("limit[]", "1"),
        ("", "1"),
    ],
)
async def test_a_bad_parameter_is_named(api: Api, name: str, value: str) -> None:
    answer = await api.client.get("/tasks", params={name: value})
    assert problem_of(answer, 422, "invalid-parameter")["parameter"] == name


@pytest.mark.parametrize("limit", [3, 50, 200])
async def test_a_page_of_large_tasks_ends_early_and_none_is_lost(
    api: Api, task_type: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "ENOUGH_BYTES", 20_000)
    text = "x" * 9_000
    body = {"tasks": [{"task_type": task_type, "payload": text if n % 2 else 1} for n in range(20)]}
    answer = await api.post(body, path="/tasks/batch")
    ids = sorted((item["task"]["id"] for item in answer.json()["items"]), reverse=True)
    # Results count as well.
    await claim_tasks(api.pool, [UUID(task_id) for task_id in ids[:1]], owner="w", lease_s=60)
    await api.pool.execute(
        "update tasks set result = to_json($2::text) where id = $1", UUID(ids[0]), text * 3
    )
    found = await pages(api, task_type=task_type, limit=limit)
    assert flat(found) == ids
    assert found[0] == ids[:1]
    assert max(map(len, found)) <= 6
    rest = await pages(api, task_type=task_type, limit=limit, state="QUEUED")
    assert flat(rest) == ids[1:]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=1&limit=1", "limit"),
        ("limit=1&state=QUEUED&limit=2", "limit"),
        ("state=QUEUED&state=FAILED", "state"),
        ("task_type=sum&task_type=sum", "task_type"),
    ],
)
async def test_a_repeated_parameter_is_refused(api: Api, query: str, name: str) -> None:
    answer = await api.client.get(f"/tasks?{query}")
    assert problem_of(answer, 422, "invalid-parameter")["parameter"] == name


async def test_a_limit_may_have_leading_zeros_and_escapes(api: Api, task_type: str) -> None:
    await submit(api, task_type, 3)
    answer = await api.client.get(f"/tasks?task_type={task_type}&limit=%30002")
    assert len(answer.json()["items"]) == 2


async def test_a_long_name_of_a_parameter_is_told_in_part(api: Api) -> None:
    answer = await api.client.get(f"/tasks?{'k' * 5_000}=1")
    assert problem_of(answer, 422, "invalid-parameter")["parameter"] == "k" * 100
