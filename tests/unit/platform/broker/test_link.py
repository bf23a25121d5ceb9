"""A connection: its handshake, its heartbeats, and its end, which everybody on it hears of."""

from __future__ import annotations

import asyncio

import pytest
from pamqp import commands, heartbeat
from task_platform.broker.amqp import frames
from task_platform.broker.links import LinkLost, Publication

from .server import ADDRESS, Server, delivery, opened, turns


async def test_the_handshake_says_who_is_calling_and_where_to() -> None:
    server = Server()
    await server.open_link(heartbeat_s=0, frame_max=8_192)
    start_ok, tune_ok, open_ = server.heard()
    assert start_ok.client_properties["connection_name"] == "task-platform test"
    assert start_ok.client_properties["capabilities"]["connection.blocked"] is True
    assert (start_ok.mechanism, start_ok.response) == ("PLAIN", "\0user\0secret")
    assert (tune_ok.frame_max, tune_ok.heartbeat) == (8_192, 0)
    assert open_.virtual_host == "some/vhost"
    assert server.link.max_frame_bytes == 8_192


async def test_a_refused_log_in_is_told_in_the_brokers_words() -> None:
    server = Server()
    shaking = asyncio.create_task(server.link.shake_hands(ADDRESS, name="test", heartbeat_s=0))
    await turns()
    server.say(commands.Connection.Start(server_properties={}))
    await turns()
    server.say(commands.Connection.Close(403, "ACCESS_REFUSED", 0, 0))
    with pytest.raises(LinkLost, match="403 ACCESS_REFUSED") as caught:
        await shaking
    assert "secret" not in str(caught.value)
    assert server.transport.is_closed


async def test_the_end_of_a_link_ends_everything_on_it() -> None:
    server, channel = await opened()
    publication = Publication()
    publishing = asyncio.create_task(channel.publish(publication, "q", [b"x"], mandatory=True))
    asking = asyncio.create_task(channel.depth("q"))
    await turns()
    server.say(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0))
    for waiting in (publishing, asking):
        with pytest.raises(LinkLost, match="320"):
            await waiting
    assert isinstance(publication.problem, LinkLost)
    assert (server.link.is_closed, channel.is_closed) == (True, True)
    assert str(await channel.ended()).startswith("320")
    with pytest.raises(LinkLost, match="320"):
        await server.link.open_channel(confirms=False)


async def test_a_connection_that_breaks_says_so() -> None:
    server, channel = await opened()
    server.link.connection_lost(ConnectionResetError("reset by peer"))
    assert "reset by peer" in str(await channel.ended())


async def test_a_blocked_link_knows_it_br09() -> None:
    server, _ = await opened()
    seen = [server.link.is_blocked]
    for said in (commands.Connection.Blocked("low on memory"), commands.Connection.Unblocked()):
        server.say(said)
        seen.append(server.link.is_blocked)
    assert seen == [False, True, False]


@pytest.mark.parametrize(
    "noise",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frames.HEAD.pack(frames.METHOD, 0, 4) + b"\xff\xff\xff\xff\xce",
        frames.HEAD.pack(frames.METHOD, 1, 2) + b"\x00\x3c\xce",
        # A delivery whose tag is cut off, and a body that nothing announced.
        frames.HEAD.pack(frames.METHOD, 1, 6) + b"\x00\x3c\x00\x3c\x01a\xce",
        frames.HEAD.pack(frames.BODY, 1, 1) + b"a\xce",
    ],
)
async def test_what_is_not_amqp_ends_the_link_and_nothing_else(noise: bytes) -> None:
    server, channel = await opened()
    server.link.data_received(noise)
    assert "not AMQP" in str(await channel.ended())
    assert server.transport.is_closed


async def test_frames_of_a_channel_that_is_gone_are_dropped() -> None:
    server, _ = await opened()
    server.say(*delivery(1, b"late"), channel=7)
    server.say(heartbeat.Heartbeat())
    assert not server.link.is_closed


async def test_a_silent_broker_is_given_up_within_three_heartbeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    await server.open_link(heartbeat_s=1)
    server.heard()
    loop = asyncio.get_running_loop()
    delays: list[float] = []

    def note(delay_s: float, _: object) -> _Timer:
        delays.append(delay_s)
        return _Timer()

    monkeypatch.setattr(loop, "call_later", note)
    for _ in range(4):
        server.link._keep_beating()
    server.say(heartbeat.Heartbeat())
    beats = 0
    while not server.link.is_closed and beats < 100:
        server.link._keep_beating()
        beats += 1
    # The last one finds that five have passed.
    assert (beats, set(delays)) == (6, {0.5})


class _Timer:
    def cancel(self) -> None:
        return


async def test_a_link_that_nobody_answers_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("task_platform.broker.amqp.link.CLOSE_TIMEOUT_S", 0.01)
    server, channel = await opened()
    await server.link.close()
    assert (server.transport.is_closed, channel.is_closed) == (True, True)


async def test_the_numbers_of_channels_go_round_and_pass_over_those_in_use() -> None:
    """An idle worker opens one every few seconds, for months."""
    server, first = await opened()
    server.link._last_channel = 65_534
    last = await server.open_channel()
    closing = asyncio.create_task(last.close())
    await turns()
    assert not closing.done()
    server.say(commands.Channel.CloseOk(), channel=65_535)
    await closing
    await server.open_channel()
    assert sorted(server.link._channels) == [1, 2]
    assert not first.is_closed


async def test_no_more_channels_are_asked_for_than_the_broker_allows() -> None:
    server = Server()
    shaking = asyncio.create_task(server.link.shake_hands(ADDRESS, name="test", heartbeat_s=0))
    await turns()
    server.say(commands.Connection.Start(server_properties={}))
    await turns()
    server.heard()
    server.say(commands.Connection.Tune(8, 4_096, 60))
    await turns()
    assert server.heard()[0].channel_max == 8
    server.say(commands.Connection.OpenOk())
    await shaking


async def test_whoever_is_interrupted_while_closing_leaves_nothing_open() -> None:
    server, channel = await opened()
    closing = asyncio.create_task(server.link.close())
    await turns()
    closing.cancel()
    await asyncio.wait({closing})
    assert (closing.cancelled(), server.transport.is_closed, channel.is_closed) == (True,) * 3
