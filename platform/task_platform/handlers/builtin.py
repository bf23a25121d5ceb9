"""Built-in task types: small, honest work for examples, benchmarks and fault experiments."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from task_platform.errors import NonRetryable
from task_platform.handlers.context import TaskContext
from task_platform.handlers.registry import task
from task_platform.storage.effects import log_effect
from task_platform.storage.transactions import Connection


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SumPayload(_Payload):
    numbers: Annotated[list[int | float], Field(max_length=10_000)]


class SleepPayload(_Payload):
    seconds: Annotated[float, Field(ge=0, le=3_600)]


class CpuPayload(_Payload):
    seconds: Annotated[float, Field(ge=0, le=60)]


class FlakyPayload(_Payload):
    failures: Annotated[int, Field(ge=0, le=1_000)]


class FailPayload(_Payload):
    message: str = "told to fail"
    retryable: bool = True


class EffectPayload(_Payload):
    seconds: Annotated[float, Field(ge=0, le=3_600)] = 0
    fail_first: Annotated[int, Field(ge=0, le=1_000)] = 0
    via: Literal["once", "transaction"] = "once"


@task("sum", payload=SumPayload, inline=True)
def sum_numbers(payload: SumPayload) -> dict[str, int | float]:
    """The sum of the numbers."""
    return {"sum": sum(payload.numbers)}


@task("echo", inline=True)
def echo(payload: Any) -> Any:
    """The payload itself."""
    return payload


@task("sleep", payload=SleepPayload)
async def sleep(payload: SleepPayload) -> dict[str, float]:
    """Wait, as a task that calls another service would."""
    await asyncio.sleep(payload.seconds)
    return {"slept_s": payload.seconds}


@task("cpu", payload=CpuPayload, process=True, timeout_s=120)
def cpu(payload: CpuPayload) -> dict[str, int]:
    """Keep a core busy for so many seconds of CPU time."""
    rounds = 0
    end = time.process_time() + payload.seconds
    while time.process_time() < end:
        rounds += 1
    return {"rounds": rounds}


@task("flaky", payload=FlakyPayload, inline=True)
def flaky(payload: FlakyPayload, context: TaskContext) -> dict[str, int]:
    """Fail the first so many attempts, then succeed."""
    if context.attempt <= payload.failures:
        raise RuntimeError(f"attempt {context.attempt} of {payload.failures} that fail")
    return {"attempt": context.attempt}


@task("fail", payload=FailPayload, inline=True)
def fail(payload: FailPayload) -> None:
    """Fail every attempt."""
    if payload.retryable:
        raise RuntimeError(payload.message)
    raise NonRetryable(payload.message)


@task("crash", inline=True)
def crash(_: Any) -> None:
    """Kill the worker that runs it."""
    os._exit(1)


@task("effect", payload=EffectPayload)
async def effect(payload: EffectPayload, context: TaskContext) -> dict[str, int]:
    """Log each start, and write one line that must never be written twice.

    The first `fail_first` attempts fail: with `once` after the line is committed, so that the next
    attempt has to skip it; with `transaction` before, so that it is rolled back.
    """

    async def write(connection: Connection) -> dict[str, int]:
        await log_effect(connection, context.task_id, context.fence, "guarded")
        return {"fence": context.fence}

    async with context.connection() as connection:
        await log_effect(connection, context.task_id, context.fence, "started")
    await asyncio.sleep(payload.seconds)
    written: dict[str, int]
    if payload.via == "once":
        written = await context.once("guarded", write)
    else:
        written = await write(await context.transaction())
    if context.attempt <= payload.fail_first:
        raise RuntimeError(f"attempt {context.attempt} of {payload.fail_first} that fail")
    return written
