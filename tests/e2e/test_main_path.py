"""The examples of the README, exactly as they are told there."""

from __future__ import annotations

import httpx

from .conftest import Platform


async def test_sum_of_one_to_five_is_fifteen(platform: Platform) -> None:
    (task_id,) = await platform.submit(1, "sum", {"numbers": [1, 2, 3, 4, 5]})
    assert await platform.until_terminal([task_id], within_s=10) == {"SUCCEEDED": 1}
    task = httpx.get(f"{platform.endpoints.api_url}/tasks/{task_id}").json()
    assert task["state"] == "SUCCEEDED"
    assert task["result"]["sum"] == 15
    assert task["attempts"] == 1
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]


async def test_an_unknown_type_is_retried_twice_and_dead_lettered(platform: Platform) -> None:
    dead = await platform.queue_ready("tasks.dlq")
    retried = await platform.counter("worker_tasks_retried_total")
    failed = await platform.counter("worker_tasks_failed_total")
    (task_id,) = await platform.submit(1, "nope", {"x": 1}, max_retries=2)
    assert await platform.until_terminal([task_id], within_s=15) == {"FAILED": 1}
    task = httpx.get(f"{platform.endpoints.api_url}/tasks/{task_id}").json()
    assert task["attempts"] == 3
    assert task["error"]["type"] == "UnknownTaskType"
    assert await platform.counter("worker_tasks_retried_total") - retried == 2
    assert await platform.counter("worker_tasks_failed_total") - failed == 1
    await platform.until_outbox_empty(within_s=10)
    assert await platform.queue_ready("tasks.dlq") - dead == 1


async def test_a_repeat_answers_with_the_first_task(platform: Platform) -> None:
    body = {"task_type": "echo", "payload": {"once": True}}
    headers = {"Idempotency-Key": "repeat-me"}
    async with httpx.AsyncClient(base_url=platform.endpoints.api_url) as client:
        first = await client.post("/tasks", json=body, headers=headers)
        again = await client.post("/tasks", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_task_that_kills_its_worker_runs_out_of_attempts(platform: Platform) -> None:
    """Its neighbours of the same claim succeed, and none of them is charged for the loss."""
    neighbours = await platform.submit(40, "sleep", {"seconds": 0.05}, max_retries=0)
    (killer,) = await platform.submit(1, "crash", {}, max_retries=0)
    neighbours += await platform.submit(40, "sleep", {"seconds": 0.05}, max_retries=0)
    # The first start is lost in company and not charged, the second one alone: two workers die.
    assert await platform.until_terminal([killer], within_s=45) == {"FAILED": 1}
    assert await platform.until_terminal(neighbours, within_s=30) == {"SUCCEEDED": 80}
    (row,) = await platform.rows(
        "select attempts, fence, error->>'type' as error from tasks where id = $1::text::uuid",
        killer,
    )
    assert (row["attempts"], row["error"]) == (1, "WorkerLost")
    assert len(platform.runtime.replicas()) == 1
    platform.runtime.scale(3)
