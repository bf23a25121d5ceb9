"""Handlers of a small shop, to be loaded with TASK_PLATFORM_HANDLERS=payments."""

import asyncio
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, PositiveInt
from task_platform.domain.retry import RetryPolicy
from task_platform.errors import NonRetryable, RetryAfter
from task_platform.handlers import TaskContext, task


class Declined(Exception):
    """The bank says no."""


class Busy(Exception):
    """The provider wants to be asked later."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"busy for {seconds} s")
        self.seconds = seconds


class Provider:
    """Stands for a payment provider: like most, it charges once for each idempotency key."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}

    async def charge(self, cents: int, *, idempotency_key: str) -> str:
        await asyncio.sleep(0.01)
        return self.receipts.setdefault(idempotency_key, f"receipt {uuid4()} over {cents}")


provider = Provider()


class Charge(BaseModel):
    order_id: int
    cents: PositiveInt


@task("charge", payload=Charge, timeout_s=30, retry=RetryPolicy(base_s=2, cap_s=600))
async def charge(payload: Charge, context: TaskContext) -> dict[str, str]:
    """Charge the card, then mark the order as paid."""

    async def ask_provider() -> str:
        try:
            return await provider.charge(
                payload.cents, idempotency_key=context.effect_key("charge")
            )
        except Declined as error:
            raise NonRetryable("the bank declined") from error
        except Busy as error:
            raise RetryAfter(error.seconds, "the provider is busy") from error

    # Recorded as soon as it is done: no later attempt of this task calls the provider again.
    receipt = await context.once("charge", ask_provider)

    # Everything below commits together with SUCCEEDED, or not at all.
    connection = await context.transaction()
    await connection.execute(
        "insert into payments (order_id, receipt) values ($1, $2)", payload.order_id, receipt
    )
    return {"receipt": receipt}


class Transfer(BaseModel):
    source: str
    target: str
    cents: PositiveInt


@task("transfer", payload=Transfer)
async def transfer(payload: Transfer, context: TaskContext) -> dict[str, Any]:
    """Move money between two accounts of our own, then tell the owner."""

    async def move(connection: Any) -> int:
        left = await connection.fetchval(
            "update accounts set cents = cents - $2 where name = $1 and cents >= $2"
            " returning cents",
            payload.source,
            payload.cents,
        )
        if left is None:
            raise NonRetryable("not enough money")
        await connection.execute(
            "update accounts set cents = cents + $2 where name = $1",
            payload.target,
            payload.cents,
        )
        return int(left)

    # The function takes the connection: what it writes commits together with the record.
    left = await context.once("move", move)
    # This may happen again, should the worker die before the task is finished.
    await send_mail(payload.source, f"{left} cents are left")
    return {"left": left}


async def send_mail(_account: str, _text: str) -> None:
    """Stands for a mail server."""
    await asyncio.sleep(0.01)


class Report(BaseModel):
    month: str


@task("report", payload=Report, timeout_s=600)
def report(payload: Report, context: TaskContext) -> str:
    """Synchronous code runs in a thread; there, `once` is called without await."""
    number: str = context.once("number", lambda: uuid4().hex)
    return f"report {number} for {payload.month}"
