"""One channel of our own driver: what was asked, published and delivered on it, matched exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pamqp import commands

from task_platform import wire
from task_platform.broker.amqp import frames
from task_platform.broker.links import Deliveries, LinkLost, Publication, QueueDepth, Unroutable
from task_platform.broker.topology import Queue
from task_platform.errors import BrokerUnavailable, ConfigurationError

if TYPE_CHECKING:
    from task_platform.broker.amqp.link import AmqpLink

ANSWER_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
_PRECONDITION_FAILED = 406


class AmqpChannel:
    """One channel; implements `links.Channel`."""

    def __init__(self, number: int, connection: AmqpLink) -> None:
        self._number = number
        self._connection = connection
        self._end: asyncio.Future[LinkLost] = asyncio.get_running_loop().create_future()
        # What was asked and not answered: the names that an answer may have, and who waits. Answers
        # of one kind come in the order of asking, those of two need not: a queue answers for its
        # consumers. Who has given up waiting keeps the place.
        self._asked: list[tuple[Sequence[str], asyncio.Future[Any]]] = []
        self._last_published = 0
        # By the tag of each message that is neither confirmed nor refused, in ascending order.
        self._unconfirmed: dict[int, _Published] = {}
        # The content that is coming: what it belongs to (None: a message that came back), its size,
        # and what there is of it.
        self._tag: int | None = None
        self._missing_bytes = 0
        self._parts: list[bytes] = []
        self._delivered: list[tuple[int, bytes]] = []
        self._on_deliveries: Callable[[Deliveries], None] = _drop
        self._on_cancel: Callable[[], None] = _do_nothing

    @property
    def is_closed(self) -> bool:
        return self._end.done()

    async def ended(self) -> LinkLost:
        """Wait for the channel's end; why it came."""
        return await asyncio.shield(self._end)

    async def open(self, *, confirms: bool) -> None:
        """Open it at the broker."""
        await self._ask(commands.Channel.Open())
        if confirms:
            await self._ask(commands.Confirm.Select())

    async def declare(self, queue: Queue) -> None:
        """Make sure that a queue exists. Raises ConfigurationError when it has other settings."""
        try:
            await self._ask(
                commands.Queue.Declare(
                    queue=queue.name, durable=True, arguments=dict(queue.arguments)
                )
            )
        except LinkLost as error:
            if error.code == _PRECONDITION_FAILED:
                raise ConfigurationError(
                    f"the broker holds a queue with other settings: {error}"
                ) from error
            raise

    async def depth(self, queue: str) -> QueueDepth:
        """What is ready, and who consumes. A missing queue closes the channel."""
        answer = await self._ask(commands.Queue.Declare(queue=queue, passive=True))
        return QueueDepth(answer.message_count, answer.consumer_count)

    async def publish(
        self, publication: Publication, queue: str, bodies: Sequence[bytes], *, mandatory: bool
    ) -> None:
        """Publish messages with confirms; returns when each is confirmed or refused."""
        await self._connection.until_writable()
        self._refuse_when_closed()
        first = self._last_published + 1
        published = _Published(publication, first, bodies)
        self._last_published += len(bodies)
        self._unconfirmed.update(dict.fromkeys(range(first, self._last_published + 1), published))
        self._connection.write(
            frames.publishes(
                self._number,
                queue,
                bodies,
                content_type=wire.CONTENT_TYPE,
                mandatory=mandatory,
                max_frame_bytes=self._connection.max_frame_bytes,
            )
        )
        if bodies:
            await published.settled

    async def prefetch(self, count: int) -> None:
        """How many deliveries the consumers that begin from now on may have open."""
        await self._ask(commands.Basic.Qos(prefetch_count=count))

    async def consume(
        self,
        queue: str,
        consumer_tag: str,
        *,
        on_deliveries: Callable[[Deliveries], None],
        on_cancel: Callable[[], None],
    ) -> None:
        """Begin to consume, under a tag of one's own."""
        self._on_deliveries, self._on_cancel = on_deliveries, on_cancel
        await self._ask(commands.Basic.Consume(queue=queue, consumer_tag=consumer_tag))

    async def cancel(self, consumer_tag: str) -> None:
        """Take no more; what was delivered may still be acknowledged."""
        await self._ask(commands.Basic.Cancel(consumer_tag=consumer_tag))

    async def acknowledge(self, upto: int | None, singles: Sequence[int]) -> None:
        """Acknowledge everything up to a tag, if one is given, and others one by one."""
        self._refuse_when_closed()
        if encoded := frames.acknowledgements(self._number, upto, singles):
            self._connection.write(encoded)

    async def close(self) -> None:
        """Close it, without complaint, whatever its state."""
        if self.is_closed:
            return
        try:
            await self._ask(commands.Channel.Close(200, "", 0, 0), within_s=CLOSE_TIMEOUT_S)
        except BrokerUnavailable:
            # Its number stays taken: the broker may still say something of this channel.
            return
        finally:
            self.lost(LinkLost("the channel was closed"))
        self._connection.forget(self._number)

    def lost(self, why: LinkLost) -> None:
        """Note the end of the channel; everybody who waits on it hears why."""
        if self._end.done():
            return
        self._end.set_result(why)
        for _, answer in self._asked:
            if not answer.done():
                answer.set_exception(why)
        self._asked.clear()
        for published in set(self._unconfirmed.values()):
            published.fail(why)
        self._unconfirmed.clear()
        self._delivered.clear()

    def take(self, buffer: bytes, kind: int, start: int, end: int) -> bool:
        """Take a frame; False when it is a method for `take_method`. Raises MalformedFrame."""
        if kind == frames.BODY:
            self._take_body(buffer[start:end])
        elif kind == frames.HEADER:
            self._missing_bytes = frames.body_size(buffer, start)
            self._parts.clear()
            if self._missing_bytes == 0:
                self._take_content(b"")
        else:
            match frames.method_id(buffer, start):
                case frames.DELIVER:
                    self._tag = frames.delivery_tag(buffer, start)
                case frames.ACK:
                    self._confirm(*frames.confirmed_tag(buffer, start), is_taken=True)
                case frames.NACK:
                    self._confirm(*frames.confirmed_tag(buffer, start), is_taken=False)
                case frames.RETURN:
                    self._tag = None
                case _:
                    return False
        return True

    def take_method(self, method: Any) -> None:
        """Take a method that pamqp has decoded."""
        match method:
            case commands.Channel.Close():
                self._connection.send(commands.Channel.CloseOk(), self._number)
                self.lost(LinkLost(_said(method), method.reply_code or 0))
                self._connection.forget(self._number)
            case commands.Basic.Cancel():
                self._on_cancel()
            case commands.Channel.Flow():
                self._connection.send(commands.Channel.FlowOk(method.active), self._number)
            case _:
                self._take_answer(method)

    def _take_answer(self, method: Any) -> None:
        for place, (names, answer) in enumerate(self._asked):
            if method.name in names:
                del self._asked[place]
                if not answer.done():
                    answer.set_result(method)
                return

    def hand_over(self) -> None:
        """Pass on what was delivered since the last time."""
        if self._delivered:
            delivered, self._delivered = self._delivered, []
            self._on_deliveries(delivered)

    def _take_body(self, piece: bytes) -> None:
        self._missing_bytes -= len(piece)
        if self._missing_bytes < 0:
            raise frames.MalformedFrame("a body longer than its header says")
        if self._missing_bytes == 0 and not self._parts:
            self._take_content(piece)
        else:
            self._parts.append(piece)
            if self._missing_bytes == 0:
                self._take_content(b"".join(self._parts))

    def _take_content(self, body: bytes) -> None:
        if self._tag is not None:
            self._delivered.append((self._tag, body))
        else:
            for published in dict.fromkeys(self._unconfirmed.values()):
                published.came_back(body)

    def _confirm(self, tag: int, is_multiple: bool, *, is_taken: bool) -> None:
        if not is_multiple:
            tags = [tag] if tag in self._unconfirmed else []
        else:
            tags = []
            for each in self._unconfirmed:
                if each > tag:
                    break
                tags.append(each)
        for each in tags:
            self._unconfirmed.pop(each).settle(each, is_taken=is_taken)

    async def _ask(self, method: Any, *, within_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Send a method and return the answer. Raises LinkLost, BrokerUnavailable when late."""
        self._refuse_when_closed()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((method.valid_responses, answer))
        self._connection.send(method, self._number)
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise BrokerUnavailable(f"no answer to {method.name} within {within_s:g} s") from None

    def _refuse_when_closed(self) -> None:
        if self._end.done():
            why = self._end.result()
            raise LinkLost(str(why), why.code)


class _Published:
    """A batch whose messages have the tags from `first` on."""

    def __init__(self, publication: Publication, first: int, bodies: Sequence[bytes]) -> None:
        self._publication = publication
        self._first = first
        self._bodies = bodies
        self._open = len(bodies)
        self._returned: set[bytes] = set()
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, tag: int, *, is_taken: bool) -> None:
        """Note that a message was confirmed, or refused."""
        index = tag - self._first
        if not is_taken:
            self._publication.problem = BrokerUnavailable("the broker refused a message")
        elif self._returned and self._bodies[index] in self._returned:
            self._publication.problem = Unroutable("the queue is not there")
        else:
            self._publication.confirmed.add(index)
        self._open -= 1
        if self._open == 0 and not self.settled.done():
            self.settled.set_result(None)

    def came_back(self, body: bytes) -> None:
        """Note a message that was returned; the broker confirms it all the same, afterwards."""
        self._returned.add(body)

    def fail(self, why: LinkLost) -> None:
        """Note that nothing more will be heard of the rest."""
        self._publication.problem = why
        if not self.settled.done():
            self.settled.set_exception(why)
            # Whoever published may have given up waiting.
            self.settled.exception()


def _said(close: Any) -> str:
    return f"{close.reply_code} {close.reply_text}"


def _drop(_: Deliveries) -> None:
    return


def _do_nothing() -> None:
    return
