"""The Idempotency-Key: one key, one task, whatever the client repeats."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import pytest
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outcomes import finish_succeeded

from ...factories import success
from .conftest import Api
from .problems import problem_of

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2]}, "max_retries": 2}
ECHO = {"task_type": "echo"}


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


@pytest.mark.parametrize(
    ("bare", "quoted"),
    [
        ("{}", '"{}"'),
        ('{}"x', r'"{}\"x"'),
        (r"{}\x", r'"{}\\x"'),
        ("{}" + "~" * 239, '"{}' + "~" * 239 + '"'),
    ],
    ids=["plain", "quote", "backslash", "longest"],
)
async def test_quoted_and_bare_are_one_key_idm07(
    api: Api, key: str, bare: str, quoted: str
) -> None:
    bare, quoted = bare.format(key), quoted.format(key)
    first = await api.post(SUM, quoted)
    again = await api.post(SUM, bare)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    held = await api.pool.fetchval(
        "select key from idempotency_keys where task_id = $1", UUID(first.json()["id"])
    )
    assert held == bare
    for form in (bare, quoted):
        batch = {"tasks": [SUM | {"idempotency_key": form}]}
        (item,) = (await api.post(batch, path="/tasks/batch")).json()["items"]
        assert (item["status"], item["task"]["id"]) == (200, first.json()["id"])


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


def echo(payload: str) -> str:
    return '{"task_type":"echo","payload":' + payload + "}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (echo('{"a":1.10,"b":{"d":2,"c":3}}'), echo('{ "b": {"c":3, "d":2},\n "a": 1.1 }')),
        (echo('"é/😀A"'), echo(r'"\u00e9\/\ud83d\ude00\u0041"')),
        (echo("1.0"), echo("1e0")),
        (echo("100.0"), echo("1E+2")),
        (echo("0.1"), echo("0.1000000000000000055511151231257827")),
        (echo("0"), echo("-0")),
        (echo('{"a":2}'), echo('{"a":1,"a":2}')),
        (echo("{}"), '{"task_type":"sum","task_type":"echo"}'),
        (echo("{}"), '{"task_type":"echo"}'),
        (echo("1"), '{"payload":1,"max_retries":3,"task_type":"echo"}'),
    ],
    ids=[
        "order",
        "escapes",
        "exponent",
        "hundred",
        "digits",
        "minus-zero",
        "twice",
        "twice-above",
        "payload",
        "retries",
    ],
)  # fmt: skip
async def test_the_same_request_may_be_spelt_otherwise_in10(
    api: Api, key: str, one: str, other: str
) -> None:
    first = await api.post(one.encode(), key)
    again = await api.post(other.encode(), key)
    assert (first.status_code, again.status_code) == (201, 200)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (echo("1"), echo("1.0")),
        (echo("100"), echo("1e2")),
        (echo("0"), echo("-0.0")),
        (echo("0.0"), echo("-0.0")),
        (echo("9007199254740993"), echo("9007199254740992")),
        (echo("1" + "0" * 400), echo("1" + "0" * 399 + "1")),
        (echo("[1,2]"), echo("[2,1]")),
        (echo("{}"), echo("null")),
        (echo('{"a":null}'), echo("{}")),
        (echo("1"), echo('"1"')),
        (echo("true"), echo("1")),
        (echo('"é"'), echo('"e\u0301"')),
        # What the type's own schema fills in.
        ('{"task_type":"fail"}', '{"task_type":"fail","payload":{"retryable":true}}'),
    ],
)
async def test_requests_that_handlers_can_tell_apart_are_others_idm03_in10_in15(
    api: Api, key: str, one: str, other: str
) -> None:
    assert (await api.post(one.encode(), key)).status_code == 201
    problem_of(await api.post(other.encode(), key), 422, "idempotency-key-reused")
    assert (await api.post(one.encode(), key)).status_code == 200


@pytest.mark.parametrize(
    "bad",
    [
        "", '""', "a b", "x" * 256, '"', '"a', '"a"b', r'"a\b"', '"a\\"', '"a b"', '"a";p=1',
        '"a"b"', '"' + "x" * 256 + '"', "\xe9", '"\xe9"', "a\x7f", "a\tb",
    ],
)  # fmt: skip
async def test_a_key_that_is_none_is_refused(api: Api, bad: str) -> None:
    headers = [(b"Idempotency-Key", bad.encode("latin-1")), (b"Content-Type", b"application/json")]
    answer = await api.client.post("/tasks", json=SUM, headers=headers)
    problem = problem_of(answer, 422, "invalid-parameter")
    assert problem["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize("opaque", ["{0},{0}", '("{0}")', ":{0}:", "{0};p=1"])
async def test_what_looks_like_structure_is_a_bare_key(api: Api, key: str, opaque: str) -> None:
    text = opaque.format(key)
    assert (await api.post(SUM, text)).status_code == 201
    held = await api.pool.fetchval("select count(*) from idempotency_keys where key = $1", text)
    assert held == 1


async def test_two_keys_are_refused(api: Api) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await api.client.post("/tasks", json=SUM, headers=headers)
    assert problem_of(answer, 422, "invalid-parameter")["parameter"] == "Idempotency-Key"


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


async def expiry_of(api: Api, key: str) -> str:
    """When the database says that a key expires, as the API writes it."""
    moment: datetime = await api.pool.fetchval(
        "select expires_at from idempotency_keys where key = $1", key
    )
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def expire(api: Api, key: str) -> None:
    """Let the window of a key be over."""
    await api.pool.execute(
        "update idempotency_keys set expires_at = now() - interval '1 second' where key = $1", key
    )


async def prune(api: Api, answer: httpx.Response) -> None:
    """Remove the task, as retention does."""
    await api.pool.execute("delete from tasks where id = $1", UUID(answer.json()["id"]))


async def test_every_keyed_answer_says_when_its_key_expires_idm11(api: Api, key: str) -> None:
    created = await api.post(SUM, key)
    expires = created.headers["idempotency-expires"]
    assert expires == await expiry_of(api, key)
    window = datetime.fromisoformat(expires) - datetime.fromisoformat(created.json()["created_at"])
    assert window == timedelta(seconds=api.service.settings.idempotency_ttl_s)
    assert (await api.post(SUM, key)).headers["idempotency-expires"] == expires
    assert (await api.post(SUM | {"max_retries": 0}, key)).headers["idempotency-expires"] == expires
    batch = {"tasks": [SUM | {"idempotency_key": key}, ECHO | {"idempotency_key": key}, ECHO]}
    items = (await api.post(batch, path="/tasks/batch")).json()["items"]
    assert [item["idempotency_expires_at"] for item in items] == [expires, expires, None]
    assert "idempotency-expires" not in (await api.post(SUM)).headers


async def test_equal_keys_at_once_say_the_same_expiry_idm11(api: Api, key: str) -> None:
    answers = await asyncio.gather(*(api.post(SUM, key) for _ in range(10)))
    assert {answer.headers["idempotency-expires"] for answer in answers} == {
        await expiry_of(api, key)
    }


async def test_an_expired_key_makes_a_new_task_idm11(api: Api, key: str) -> None:
    first = await api.post(SUM, key)
    await expire(api, key)
    second = await api.post(ECHO, key)
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert second.headers["idempotency-expires"] > first.headers["idempotency-expires"]


async def test_an_expired_key_raced_for_makes_one_new_task_idm10(api: Api, key: str) -> None:
    first = await api.post(SUM, key)
    for _ in range(5):
        await expire(api, key)
        sweep = api.pool.execute("delete from idempotency_keys where expires_at <= now()")
        swept = asyncio.create_task(sweep)
        answers = await asyncio.gather(*(api.post(SUM, key) for _ in range(10)))
        await swept
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert len({answer.json()["id"] for answer in answers} - {first.json()["id"]}) == 1


async def test_a_key_that_outlived_its_task_says_so_at_once_idm12(api: Api, key: str) -> None:
    first = await api.post(SUM, key)
    await prune(api, first)
    started = monotonic()
    answer = await api.post(SUM, key)
    problem_of(answer, 410, "task-pruned")
    assert monotonic() - started < 2
    assert answer.headers["idempotency-expires"] == first.headers["idempotency-expires"]
    problem_of(await api.post(ECHO, key), 422, "idempotency-key-reused")
    batch = {"tasks": [SUM | {"idempotency_key": key}, ECHO]}
    gone, other = (await api.post(batch, path="/tasks/batch")).json()["items"]
    assert (gone["status"], gone["task"], other["status"]) == (410, None, 201)
    assert gone["error"]["type"].endswith(":task-pruned")
    assert gone["idempotency_expires_at"] == first.headers["idempotency-expires"]
    await expire(api, key)
    assert (await api.post(SUM, key)).status_code == 201


async def test_a_repeat_in_flight_waits_for_the_first_answer_idm01(api: Api, key: str) -> None:
    async with api.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table outbox in exclusive mode")
        asked = [asyncio.create_task(api.post(SUM, key)) for _ in range(5)]
        done, _ = await asyncio.wait(asked, timeout=0.3)
        assert not done
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
