"""Publishing: what is not confirmed is not said to be, and no broker is waited for too long."""

from __future__ import annotations

from time import monotonic
from typing import Any, Literal
from uuid import uuid4

import pytest
from task_platform import wire
from task_platform.broker import client
from task_platform.broker.publisher import Publisher
from task_platform.settings import Settings

from ....factories import some_ids
from ....link import linked_broker
from ..processes import delete_queue, until, until_messages


@pytest.fixture(params=["batched", "aiormq"])
def driver(request: pytest.FixtureRequest) -> Any:
    """Both promise the same."""
    return request.param


@pytest.fixture
def settings(amqp_url: str, driver: Literal["batched", "aiormq"]) -> Settings:
    """Settings without a database."""
    return Settings(amqp_url=amqp_url, broker_driver=driver, publish_timeout_s=1)


async def test_what_is_confirmed_is_on_the_queue(settings: Settings) -> None:
    publisher = Publisher(settings, name="test")
    ids = some_ids(3)
    assert await publisher.publish("tasks", ids) == set(ids)
    assert publisher.is_connected
    async with client.connected(settings, name="test") as connection:
        channel = await client.open_channel(connection)
        got = [await channel.basic_get("tasks", no_ack=True) for _ in ids]
    assert [wire.decode_message(message.body) for message in got] == ids
    assert {message.header.properties.delivery_mode for message in got} == {2}
    await publisher.close()


async def test_thousands_at_once_are_all_confirmed_br07(settings: Settings) -> None:
    # The deadline is another test's subject: a busy machine may need longer than it allows.
    publisher = Publisher(settings.model_copy(update={"publish_timeout_s": 60}), name="test")
    ids = some_ids(2_345)
    assert await publisher.publish("tasks", ids) == set(ids)
    await until_messages(settings, len(ids))
    await publisher.close()


async def test_a_missing_queue_confirms_nothing_and_is_declared_again_br04(
    settings: Settings,
) -> None:
    publisher = Publisher(settings, name="test")
    await publisher.publish("tasks", some_ids(1))
    await delete_queue(settings)
    assert await publisher.publish("tasks", some_ids(5)) == set()
    ids = some_ids(5)
    assert await publisher.publish("tasks", ids) == set(ids)
    await until_messages(settings, 5)
    await publisher.close()


async def test_a_queue_that_does_not_exist_harms_no_other(settings: Settings) -> None:
    publisher = Publisher(settings, name="test")
    assert await publisher.publish("no.such.queue", some_ids(1)) == set()
    ids = some_ids(2)
    assert await publisher.publish("tasks.dlq", ids) == set(ids)
    await publisher.close()


async def test_a_broker_that_is_away_is_noticed_at_once_br05(settings: Settings) -> None:
    async with linked_broker(settings) as (link, over):
        publisher = Publisher(over, name="test")
        await publisher.publish("tasks", some_ids(1))
        await link.cut()
        started = monotonic()
        for _ in range(20):
            assert await publisher.publish("tasks", some_ids(10)) == set()
        assert monotonic() - started < 2
        assert not publisher.is_connected
        await link.heal()
        task_id = uuid4()

        async def is_published() -> bool:
            return await publisher.publish("tasks", [task_id]) == {task_id}

        await until(is_published)
        await publisher.close()


async def test_a_broker_that_says_nothing_is_left_after_the_deadline_br06(
    settings: Settings,
) -> None:
    async with linked_broker(settings) as (link, over):
        publisher = Publisher(over, name="test")
        await publisher.publish("tasks", some_ids(1))
        link.freeze()
        started = monotonic()
        assert await publisher.publish("tasks", some_ids(10)) == set()
        assert monotonic() - started < 1 + client.CLOSE_TIMEOUT_S + 1
        await link.cut()
        await publisher.close()


async def test_a_queue_of_another_kind_confirms_nothing(settings: Settings) -> None:
    other = settings.model_copy(update={"queue_type": "classic"})
    first, second = Publisher(settings, name="a"), Publisher(other, name="b")
    await first.publish("tasks", some_ids(1))
    assert await second.publish("tasks", some_ids(1)) == set()
    await first.close()
    await second.close()
