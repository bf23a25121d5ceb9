"""POST /tasks and GET /tasks/{id}: what is answered is committed, and comes back as it was sent."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from task_platform.api.group_commit import GroupCommit
from task_platform.settings import Settings
from task_platform.storage.claims import claim_tasks
from task_platform.storage.outcomes import finish_succeeded, finish_unsuccessful

from ...factories import failure, success
from .conftest import Api, running_api
from .problems import MARKER, problem_of

SUM = {"task_type": "sum", "payload": {"numbers": [1, 2, 3, 4, 5]}, "max_retries": 2}
FIELDS = {
    "id", "task_type", "payload", "max_retries", "state", "attempts", "result", "error",
    "created_at", "due_at", "started_at", "finished_at", "replay_of",
}  # fmt: skip


async def test_a_task_is_answered_with_201_and_found_again(api: Api) -> None:
    answer = await api.post(SUM)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    task = answer.json()
    assert set(task) == FIELDS
    assert {name: task[name] for name in SUM} == SUM
    assert (task["state"], task["attempts"]) == ("QUEUED", 0)
    assert task["result"] is task["error"] is task["started_at"] is task["finished_at"] is None
    assert task["created_at"] == task["due_at"]
    assert datetime.fromisoformat(task["created_at"]).tzinfo is not None
    assert UUID(task["id"]).version == 7
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    found = await api.client.get(answer.headers["location"])
    assert found.json() == task | {"failures": []}


async def test_the_answer_follows_the_task(api: Api) -> None:
    ids = [UUID((await api.post(SUM)).json()["id"]) for _ in range(2)]
    claim = await claim_tasks(api.pool, ids, owner="w", lease_s=60)
    done, dead = claim.tasks
    await finish_succeeded(api.pool, [success(done, '{"sum": 15}')], closed_claims=[])
    await finish_unsuccessful(api.pool, [failure(dead)], worker="w", closed_claims=[])
    task = (await api.client.get(f"/tasks/{done.id}")).json()
    assert (task["state"], task["result"], task["attempts"]) == ("SUCCEEDED", {"sum": 15}, 1)
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]
    task = (await api.client.get(f"/tasks/{dead.id}")).json()
    assert task["state"] == "FAILED"
    assert task["error"] == {"type": "RuntimeError", "message": "told to fail"}
    (failed,) = task["failures"]
    assert (failed["attempt"], failed["worker"], failed["outcome"]) == (1, "w", "dead")
    assert failed["error"] == task["error"]
    assert task["created_at"] <= failed["started_at"] <= failed["ended_at"]
    (listed,) = [
        item
        for item in (await api.client.get("/tasks", params={"state": "FAILED"})).json()["items"]
        if item["id"] == task["id"]
    ]
    assert "failures" not in listed


@pytest.mark.parametrize(
    "payload",
    [
        None, True, 0, "text", [], {}, {"a": {"b": [1.5, None, "é 😀 \\u0000 \\ \""]}},
        {"n": 2**64}, {"n": 10**400}, {"": {"": ""}},
    ],
    ids=lambda payload: json.dumps(payload)[:30],
)  # fmt: skip
async def test_any_json_comes_back_as_it_was_sent_in07(api: Api, payload: Any) -> None:
    answer = await api.post({"task_type": "echo", "payload": payload})
    assert answer.status_code == 201
    assert answer.json()["payload"] == payload
    found = await api.client.get(answer.headers["location"])
    assert found.json()["payload"] == payload


@pytest.mark.parametrize(
    "key",
    [
        "\u00e9",
        "e\u0301",
        "\uff11",
        "\u200b",
        "\u202e",
        "\ufeff",
        "\u212a",
        "\U000e0001",
        "1",
        " 1",
    ],
    ids=ascii,
)
async def test_text_is_compared_and_kept_by_code_point_in15(api: Api, key: str) -> None:
    payload = {key: key, unicodedata.normalize("NFC", key) + "x": [key]}
    answer = await api.post({"task_type": "echo", "payload": payload})
    assert answer.status_code == 201
    assert (await api.client.get(answer.headers["location"])).json()["payload"] == payload
    assert (await api.post({"task_type": f"a{key}"})).status_code == (201 if key == "1" else 422)


@pytest.mark.parametrize(
    "run_at",
    [
        "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-06-30T23:59:60Z",
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-03-29T02:30:00+01:00",
        1_700_000_000, 1_700_000_000.5, 1_700_000_000_000, None, "soon", True, {}, -1,
    ],
)  # fmt: skip
async def test_a_time_to_run_at_is_not_known_yet_and_refused_in14(api: Api, run_at: Any) -> None:
    body = {"task_type": "echo", "run_at": run_at}
    assert problem_of(await api.post(body), 422, "invalid-input")["pointer"] == "/run_at"
    batch = await api.post({"tasks": [body]}, path="/tasks/batch")
    assert batch.json()["items"][0]["error"]["pointer"] == "/tasks/0/run_at"


async def test_times_are_in_utc_with_microseconds_in14(api: Api) -> None:
    task_id = UUID((await api.post(SUM)).json()["id"])
    for moment in ("2026-01-01T12:00:00.000000Z", "0001-01-01T00:00:00.000001Z"):
        await api.pool.execute(
            "update tasks set created_at = $2, started_at = $2, finished_at = $2 where id = $1",
            task_id,
            datetime.fromisoformat(moment),
        )
        task = (await api.client.get(f"/tasks/{task_id}")).json()
        assert task["created_at"] == task["started_at"] == task["finished_at"] == moment


async def test_payload_and_retries_have_defaults(api: Api) -> None:
    task = (await api.post({"task_type": "echo"})).json()
    assert (task["payload"], task["max_retries"]) == ({}, 3)


async def test_an_unknown_type_is_accepted_rt11(api: Api) -> None:
    answer = await api.post({"task_type": "nope", "payload": {"x": 1}, "max_retries": 2})
    assert answer.status_code == 201


async def test_an_unknown_type_is_refused_where_types_are_strict(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"strict_types": True})) as api:
        answer = await api.post({"task_type": "nope", "payload": {"x": 1}})
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/task_type")
        assert (await api.post(SUM)).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"task_type": "sum", "payload": {"numbers": [MARKER]}},
        {"task_type": "sum", "payload": {"numbers": "12"}},
        {"task_type": "sum", "payload": {}},
        {"task_type": "sum", "payload": [1, 2]},
        {"task_type": "sum"},
        {"task_type": "sum", "payload": {"numbers": [1], "extra": 1}},
        {"task_type": "sleep", "payload": {"seconds": -1}},
    ],
)
async def test_a_known_type_with_a_payload_that_does_not_fit_is_refused(
    api: Api, body: dict[str, Any]
) -> None:
    problem = problem_of(await api.post(body), 422, "invalid-input")
    assert problem["pointer"].startswith("/payload")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/task_type"),
        ({"task_type": ""}, "/task_type"),
        ({"task_type": f"{MARKER} with spaces"}, "/task_type"),
        ({"task_type": "é"}, "/task_type"),
        ({"task_type": "x" * 129}, "/task_type"),
        ({"task_type": 5}, "/task_type"),
        ({"task_type": "echo", "max_retries": -1}, "/max_retries"),
        ({"task_type": "echo", "max_retries": 1_001}, "/max_retries"),
        ({"task_type": "echo", "max_retries": 10**400}, "/max_retries"),
        ({"task_type": "echo", "max_retries": 1.5}, "/max_retries"),
        ({"task_type": "echo", "max_retries": "3"}, "/max_retries"),
        ({"task_type": "echo", "max_retries": True}, "/max_retries"),
        ({"task_type": "echo", "max_retries": None}, "/max_retries"),
        ({"task_type": "echo", "a/b~c": MARKER}, "/a~1b~0c"),
        ({"task_type": "echo", "k" * 299: 1}, "/" + "k" * 299),
        # Too long to be told: the place around it.
        ({"task_type": "echo", "k" * 300: 1}, ""),
        ({"task_type": "echo", "k" * 9_000: 1}, ""),
        ([], ""),
        ("text", ""),
        (None, ""),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
async def test_a_field_that_breaks_a_rule_is_named(api: Api, body: Any, pointer: str) -> None:
    problem = problem_of(await api.post(body), 422, "invalid-input")
    assert problem["pointer"] == pointer


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (rb'{"a":"x\u0000y"}', "/payload/a"),
        (rb'{"a":{"k\u0000":1}}', "/payload/a"),
        (rb'{"a":"\ud83d"}', None),
        (rb'{"\ude00":[]}', None),
        (b"[" * 65 + b"]" * 65, None),
        (b"9" * 5_000, None),
        (b"1e999", None),
    ],
    ids=["nul", "nul key", "surrogate", "surrogate key", "deep", "digits", "overflow"],
)
async def test_json_that_cannot_be_stored_is_refused_in01_in03_in06(
    api: Api, payload: bytes, pointer: str | None
) -> None:
    body = b'{"task_type":"echo","payload":%s}' % payload
    problem = problem_of(await api.post(body), 422, "invalid-input")
    assert problem.get("pointer") == pointer


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"task_type":NaN}', b'{"task_type":"echo"} ' + MARKER.encode()],
)
async def test_what_is_not_json_is_malformed_in05(api: Api, body: bytes) -> None:
    problem_of(await api.post(body), 400, "malformed-json")


async def test_a_nul_in_a_type_is_refused_in01(api: Api) -> None:
    problem = problem_of(await api.post(rb'{"task_type":"a\u0000b"}'), 422, "invalid-input")
    assert problem["pointer"] == "/task_type"


@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "json"])
async def test_another_media_type_is_refused(api: Api, path: str, media_type: str) -> None:
    answer = await api.client.post(path, content=b"{}", headers={"Content-Type": media_type})
    problem_of(answer, 415, "unsupported-media-type")


JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Content-Type", "")],
        [JSON, JSON],
        [JSON, ("Content-Type", "text/plain")],
        [("Content-Type", "application/json, text/plain")],
        [("Content-Type", "application/json; charset=utf-16")],
        [("Content-Type", 'application/json;charset="latin1"')],
        [("Content-Type", "application/json; x=1; CHARSET=ascii")],
        [JSON, ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")],
        [JSON, ("Content-Encoding", "")],
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch"])
async def test_a_body_that_is_not_plainly_json_is_refused(
    api: Api, path: str, headers: list[tuple[str, str]]
) -> None:
    answer = await api.client.post(path, content=b'{"task_type":"echo"}', headers=headers)
    problem_of(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "Application/JSON; charset=utf-8")],
        [("Content-Type", 'application/json ;Charset="UTF-8"')],
        [("Content-Type", "application/json;")],
        [("Content-Type", "application/json; x")],
        [JSON, ("Content-Encoding", "Identity")],
    ],
    ids=str,
)
async def test_json_in_utf_8_may_be_declared_in_several_ways(
    api: Api, headers: list[tuple[str, str]]
) -> None:
    answer = await api.client.post("/tasks", content=json.dumps(SUM).encode(), headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"numbers": [1, "a"]}, "/payload/numbers/1"),
        ({"numbers": [1, [2]]}, "/payload/numbers/1"),
        ({"numbers": [1, None]}, "/payload/numbers/1"),
        ({"numbers": {"int": 1}}, "/payload/numbers"),
        ({}, "/payload/numbers"),
        ([1], "/payload"),
    ],
    ids=str,
)
async def test_a_pointer_leads_through_the_body_that_was_sent(
    api: Api, payload: Any, pointer: str
) -> None:
    body = {"task_type": "sum", "payload": payload}
    assert problem_of(await api.post(body), 422, "invalid-input")["pointer"] == pointer
    batch = (await api.post({"tasks": [body]}, path="/tasks/batch")).json()
    assert batch["items"][0]["error"]["pointer"] == f"/tasks/0{pointer}"


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {"task_type": "a b"},
        {"task_type": "sum", "payload": [1]},
        {"task_type": "echo", "idempotency_key": "a b"},
    ],
    ids=str,
)
async def test_a_detail_names_nothing_of_ours(api: Api, body: Any) -> None:
    alone = problem_of(await api.post(body), 422, "invalid-input")
    batch = (await api.post({"tasks": [body]}, path="/tasks/batch")).json()
    for detail in (alone["detail"], batch["items"][0]["error"]["detail"]):
        assert not re.search(r"TaskIn|ItemIn|Payload|\^|\\|instance", detail)


@pytest.mark.parametrize(("path", "limit"), [("/tasks", 10_000), ("/tasks/batch", 100_000)])
async def test_a_body_above_the_limit_is_refused_in09(api: Api, path: str, limit: int) -> None:
    problem_of(await api.post(b" " * (limit + 1), path=path), 413, "body-too-large")
    assert (await api.post(b" " * limit, path=path)).status_code == 400


async def test_an_endless_body_is_refused_early_in09(api: Api) -> None:
    sent = 0

    async def drip() -> Any:
        nonlocal sent
        while sent < 1_000_000:
            sent += 1_000
            yield b" " * 1_000

    answer = await api.client.post(
        "/tasks", content=drip(), headers={"Content-Type": "application/json"}
    )
    problem_of(answer, 413, "body-too-large")
    assert sent <= 12_000


@pytest.mark.parametrize("length", ["nope", "-1", "9" * 5_000])
async def test_a_wrong_length_is_no_error_of_ours_in09(api: Api, length: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length}
    answer = await api.client.post("/tasks", content=json.dumps(SUM).encode(), headers=headers)
    assert answer.status_code in (201, 413)


async def test_an_id_that_is_not_there_is_404(api: Api) -> None:
    problem_of(await api.client.get(f"/tasks/{uuid4()}"), 404, "task-not-found")


@pytest.mark.parametrize("task_id", [MARKER, "1", "<script>", "%00", "0" * 33])
async def test_an_id_that_is_none_is_422(api: Api, task_id: str) -> None:
    problem = problem_of(await api.client.get(f"/tasks/{task_id}"), 422, "invalid-parameter")
    assert problem["detail"] == "Input should be a valid UUID"
    assert problem["parameter"] == "task_id"


async def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    problem_of(await api.client.get(f"/{MARKER}"), 404, "not-found")
    problem_of(await api.client.delete("/tasks"), 405, "method-not-allowed")


ALLOWED = {
    "/tasks": "GET, HEAD, POST",
    "/tasks/batch": "POST",
    f"/tasks/{UUID(int=1)}": "GET, HEAD",
    "/tasks/batch2": "GET, HEAD",
    "/healthz": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/metrics": "GET, HEAD",
    "/docs": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_a_method_that_is_not_allowed_is_told_which_are(
    api: Api, path: str, allowed: str, method: str
) -> None:
    answer = await api.client.request(method, path)
    if method in allowed.split(", "):
        assert answer.status_code != 405
    else:
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        if method != "HEAD":
            problem_of(answer, 405, "method-not-allowed")


async def test_a_committed_task_is_announced_and_forgotten(api: Api) -> None:
    answers = await asyncio.gather(*(api.post(SUM) for _ in range(20)))
    ids = [UUID(answer.json()["id"]) for answer in answers]
    async with asyncio.timeout(5):
        while await api.pool.fetchval("select count(*) from outbox where task_ids && $1", ids):
            await asyncio.sleep(0.02)
    created = api.service.registry.get_sample_value(
        "api_tasks_accepted_total", {"outcome": "created"}
    )
    announced = api.service.registry.get_sample_value("api_tasks_announced_total")
    batches = api.service.registry.get_sample_value("api_commit_batch_size_count")
    assert created == announced == 20
    assert batches is not None
    assert batches < 20


async def test_health_readiness_metrics_and_docs_answer(api: Api) -> None:
    assert (await api.client.get("/healthz")).status_code == 200
    assert (await api.client.get("/readyz")).status_code == 200
    assert "api_tasks_accepted_total" in (await api.client.get("/metrics")).text
    assert (await api.client.get("/docs")).status_code == 200
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    assert {"/tasks", "/tasks/batch", "/tasks/{task_id}"} <= set(paths)
    api.service.readiness.set("drain", met=False)
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["waiting_for"]) == (503, ["drain"])


@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch"])
async def test_a_fault_of_ours_is_a_problem_that_says_nothing_of_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Past the framework as well as through it."""

    def broken(*_: Any) -> None:
        raise RuntimeError(MARKER)

    monkeypatch.setattr(GroupCommit, "submit", broken)
    monkeypatch.setattr(GroupCommit, "submit_batch", broken)
    answer = await api.post(SUM if path == "/tasks" else {"tasks": [SUM]}, path=path)
    problem_of(answer, 500, "internal")
