"""The example of the how-to page, on real services: it does what the page says."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from task_platform.domain.retry import RetryPolicy
from task_platform.handlers.registry import Handler, handlers_of
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..processes import running_relay, running_worker, submit, until, until_state

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "write-a-handler.md"
EXAMPLE = PAGE.parent / "examples" / "payments.py"


@pytest.fixture
def payments(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, loaded as a worker would."""
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    monkeypatch.delitem(sys.modules, "payments", raising=False)
    return importlib.import_module("payments")


@pytest.fixture(autouse=True)
async def tables(pool: Pool) -> None:
    """The tables that the page asks for."""
    _, _, rest = PAGE.read_text("utf-8").partition("```sql\n")
    await pool.execute(rest.partition("```")[0])


def hasty(payments: Any) -> list[Handler]:
    """The example's handlers, with delays that a test can wait for."""
    return [replace(made, retry=RetryPolicy(0.05, 1)) for made in handlers_of(payments)]


def test_the_page_shows_the_example_as_it_is() -> None:
    assert f"```python\n{EXAMPLE.read_text('utf-8')}```" in PAGE.read_text("utf-8")


async def test_a_card_is_charged_once_and_the_order_paid_once(
    settings: Settings, pool: Pool, payments: Any
) -> None:
    asked: list[str] = []
    charge = payments.provider.charge

    async def sometimes(cents: int, *, idempotency_key: str) -> str:
        asked.append(idempotency_key)
        if cents == 13:
            raise payments.Declined
        if len(asked) == 1:
            raise payments.Busy(0.1)
        receipt: str = await charge(cents, idempotency_key=idempotency_key)
        return receipt

    payments.provider.charge = sometimes
    # The order's row is locked out at first: the attempt fails after the card was charged.
    await pool.execute("alter table payments add constraint closed check (receipt is null)")
    made = hasty(payments)
    async with running_relay(settings, pool), running_worker(settings, pool, *made):
        paid = await submit(
            pool, task_type="charge", payload={"order_id": 1, "cents": 500}, max_retries=50
        )
        await _until_failed_by(pool, "CheckViolationError")
        await pool.execute("alter table payments drop constraint closed")
        (row,) = await until_state(pool, paid, "SUCCEEDED")
        declined = await submit(pool, task_type="charge", payload={"order_id": 2, "cents": 13})
        (dead,) = await until_state(pool, declined, "FAILED")
    receipt = json.loads(row["result"])["receipt"]
    assert [tuple(found) for found in await pool.fetch("select * from payments")] == [(1, receipt)]
    assert asked == [f"{paid[0]}:charge"] * 2 + [f"{declined[0]}:charge"]
    assert len(payments.provider.receipts) == 1
    assert json.loads(dead["error"]) == {"type": "NonRetryable", "message": "the bank declined"}
    assert dead["attempts"] == 1


async def _until_failed_by(pool: Pool, error_type: str) -> None:
    async def has_failed() -> bool:
        return bool(
            await pool.fetchval(
                "select exists (select from attempt_failures where error_type = $1)", error_type
            )
        )

    await until(has_failed)


async def test_money_is_moved_once_and_the_mail_may_come_twice(
    settings: Settings, pool: Pool, payments: Any
) -> None:
    mails: list[str] = []

    async def fails_at_first(account: str, text: str) -> None:
        mails.append(f"{account}: {text}")
        if len(mails) == 1:
            raise ConnectionError("no mail server")

    payments.send_mail = fails_at_first
    await pool.execute("insert into accounts values ('a', 100), ('b', 0)")
    payload = {"source": "a", "target": "b", "cents": 70}
    made = hasty(payments)
    async with running_relay(settings, pool), running_worker(settings, pool, *made):
        (row,) = await until_state(
            pool, await submit(pool, task_type="transfer", payload=payload), "SUCCEEDED"
        )
        (dead,) = await until_state(
            pool, await submit(pool, task_type="transfer", payload=payload), "FAILED"
        )
    assert json.loads(row["result"]) == {"left": 30}
    assert "not enough money" in dead["error"]
    accounts = await pool.fetch("select * from accounts order by name")
    assert [tuple(account) for account in accounts] == [("a", 30), ("b", 70)]
    assert mails == ["a: 30 cents are left"] * 2


async def test_a_report_keeps_its_number(settings: Settings, pool: Pool, payments: Any) -> None:
    async with (
        running_relay(settings, pool),
        running_worker(settings, pool, *hasty(payments)),
    ):
        ids = await submit(pool, task_type="report", payload={"month": "2026-01"})
        (row,) = await until_state(pool, ids, "SUCCEEDED")
    number = await pool.fetchval("select result from effects where name = 'number'")
    assert json.loads(row["result"]) == f"report {json.loads(number)} for 2026-01"
