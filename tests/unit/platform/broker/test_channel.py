"""A channel: confirms, returns and deliveries are matched exactly, whatever comes in between."""

from __future__ import annotations

import asyncio

import pytest
from pamqp import commands
from task_platform.broker.links import (
    Deliveries,
    LinkLost,
    Publication,
    QueueDepth,
    Unroutable,
)
from task_platform.broker.topology import Queue
from task_platform.errors import BrokerUnavailable, ConfigurationError

from .server import Server, delivery, opened, returned, turns

THREE = [b"one", b"two", b"three"]


def publishing(
    server_and_channel: tuple[Server, object], bodies: list[bytes]
) -> tuple[Publication, asyncio.Task[None]]:
    channel = server_and_channel[1]
    publication = Publication()
    task = asyncio.create_task(
        channel.publish(publication, "tasks", bodies, mandatory=True)  # type: ignore[attr-defined]
    )
    return publication, task


async def test_one_confirm_may_stand_for_many_br07() -> None:
    opened_one = server, _ = await opened()
    publication, task = publishing(opened_one, THREE)
    await turns()
    server.say(commands.Basic.Ack(3, multiple=True), channel=1)
    await task
    assert publication.confirmed == {0, 1, 2}
    assert len(publication.confirmed) == 3


async def test_confirms_may_come_in_any_order_and_twice() -> None:
    opened_one = server, _ = await opened()
    publication, task = publishing(opened_one, THREE)
    await turns()
    server.say(commands.Basic.Ack(2), commands.Basic.Ack(2), channel=1)
    await turns()
    assert (publication.confirmed, task.done()) == ({1}, False)
    # What is confirmed already is not confirmed once more by one for all.
    server.say(commands.Basic.Ack(99), commands.Basic.Ack(3, multiple=True), channel=1)
    await task
    assert publication.confirmed == {0, 1, 2}


async def test_batches_in_flight_do_not_take_each_others_confirms() -> None:
    opened_one = server, _ = await opened()
    first, first_task = publishing(opened_one, THREE)
    second, second_task = publishing(opened_one, [b"four", b"five"])
    await turns()
    server.say(commands.Basic.Ack(4), channel=1)
    await turns()
    assert (first.confirmed, second.confirmed) == (set(), {0})
    server.say(commands.Basic.Ack(3, multiple=True), channel=1)
    await first_task
    assert (first.confirmed, second_task.done()) == ({0, 1, 2}, False)
    server.say(commands.Basic.Ack(5, multiple=True), channel=1)
    await second_task
    assert second.confirmed == {0, 1}


async def test_what_is_refused_is_not_confirmed_br07() -> None:
    opened_one = server, _ = await opened()
    publication, task = publishing(opened_one, THREE)
    await turns()
    server.say(commands.Basic.Nack(2, multiple=True), commands.Basic.Ack(3), channel=1)
    await task
    assert publication.confirmed == {2}
    assert isinstance(publication.problem, BrokerUnavailable)


async def test_what_comes_back_is_not_confirmed_although_the_broker_says_so_br04() -> None:
    opened_one = server, _ = await opened()
    publication, task = publishing(opened_one, THREE)
    await turns()
    server.say(*returned(b"two"), commands.Basic.Ack(3, multiple=True), channel=1)
    await task
    assert publication.confirmed == {0, 2}
    assert isinstance(publication.problem, Unroutable)


async def test_the_end_of_a_channel_ends_the_wait_and_keeps_what_was_confirmed() -> None:
    opened_one = server, channel = await opened()
    publication, task = publishing(opened_one, THREE)
    await turns()
    server.say(
        commands.Basic.Ack(1), commands.Channel.Close(404, "NOT_FOUND - no queue", 0, 0), channel=1
    )
    with pytest.raises(LinkLost, match="404 NOT_FOUND"):
        await task
    assert publication.confirmed == {0}
    assert channel.is_closed
    assert (await channel.ended()).code == 404
    assert [type(one) for one in server.heard()[-1:]] == [commands.Channel.CloseOk]
    with pytest.raises(LinkLost, match="404"):
        await channel.acknowledge(1, ())


async def test_nothing_is_published_while_the_broker_reads_nothing() -> None:
    opened_one = server, _ = await opened()
    server.link.pause_writing()
    publication, task = publishing(opened_one, THREE)
    await turns()
    assert server.heard() == []
    server.link.resume_writing()
    await turns()
    server.say(commands.Basic.Ack(3, multiple=True), channel=1)
    await task
    assert len(publication.confirmed) == 3


async def test_an_empty_batch_waits_for_nothing() -> None:
    opened_one = await opened()
    publication, task = publishing(opened_one, [])
    await task
    assert publication.problem is None


async def test_deliveries_come_in_order_whole_and_a_piece_of_the_stream_at_a_time() -> None:
    server, channel = await opened()
    calls: list[Deliveries] = []
    consuming = asyncio.create_task(
        channel.consume("tasks", "mine", on_deliveries=calls.append, on_cancel=lambda: None)
    )
    await turns()
    # Behind the answer, in the same piece.
    server.say(
        commands.Basic.ConsumeOk("mine"),
        *delivery(1, b"whole"),
        *delivery(2),
        *delivery(3, b"in ", b"three ", b"pieces"),
        channel=1,
    )
    await consuming
    assert calls == [[(1, b"whole"), (2, b""), (3, b"in three pieces")]]


async def test_the_broker_may_take_the_consumer_away_br11() -> None:
    server, channel = await opened()
    cancelled = asyncio.Event()
    consuming = asyncio.create_task(
        channel.consume("tasks", "mine", on_deliveries=lambda _: None, on_cancel=cancelled.set)
    )
    await turns()
    server.say(commands.Basic.ConsumeOk("mine"), commands.Basic.Cancel("mine"), channel=1)
    await consuming
    assert cancelled.is_set()


async def test_acknowledgements_leave_in_one_piece() -> None:
    server, channel = await opened()
    await channel.acknowledge(5, (7, 9))
    await channel.acknowledge(None, ())
    said = [(one.delivery_tag, one.multiple) for one in server.heard()]
    assert said == [(5, True), (7, False), (9, False)]


async def test_whoever_gives_up_waiting_leaves_the_next_answer_to_the_next() -> None:
    server, channel = await opened()
    impatient = asyncio.create_task(channel.depth("tasks"))
    await turns()
    impatient.cancel()
    await turns()
    patient = asyncio.create_task(channel.depth("tasks"))
    await turns()
    server.say(
        commands.Queue.DeclareOk("tasks", 1, 1), commands.Queue.DeclareOk("tasks", 2, 3), channel=1
    )
    assert await patient == QueueDepth(2, 3)


async def test_answers_of_two_kinds_may_come_in_any_order() -> None:
    """A queue answers for its consumers, the channel for the rest; neither waits for the other."""
    server, channel = await opened()
    consuming = asyncio.create_task(
        channel.consume("tasks", "mine", on_deliveries=lambda _: None, on_cancel=lambda: None)
    )
    await turns()
    looking = asyncio.create_task(channel.depth("tasks"))
    await turns()
    server.say(commands.Queue.DeclareOk("tasks", 4, 2), channel=1)
    assert await looking == QueueDepth(4, 2)
    assert not consuming.done()
    server.say(commands.Basic.ConsumeOk("mine"), channel=1)
    await consuming


async def test_a_queue_with_other_settings_is_a_mistake_of_configuration() -> None:
    server, channel = await opened()
    declaring = asyncio.create_task(channel.declare(Queue("tasks", {"x-queue-type": "quorum"})))
    await turns()
    server.say(commands.Channel.Close(406, "PRECONDITION_FAILED", 50, 10), channel=1)
    with pytest.raises(ConfigurationError, match="other settings"):
        await declaring


async def test_closing_twice_or_when_closed_says_nothing_more() -> None:
    server, channel = await opened()
    closing = asyncio.create_task(channel.close())
    await turns()
    server.say(commands.Channel.CloseOk(), channel=1)
    await closing
    server.heard()
    await channel.close()
    assert server.heard() == []
