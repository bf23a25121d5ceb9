"""The load generator: a process of its own, so that its CPU share and loop lag are its own.

Reads one `Load` per line on standard input, answers each with one `SenderReport` line, and ends
when its input does: a lab that died leaves no load behind.

Requests and answers are httpx's, the transport is aiohttp's (httpx's own scans every pooled
connection for every request, which makes it the slowest part of the bench), and no client stands
between them. It would look for redirects, cookies and log-ins for a quarter of the sender's time,
and keep each answer in a cycle of references: collecting those stops the sender for 0.1 s in every
1.3 s at 2,000 requests a second, so that arrivals come late and then all at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import httpx
import msgspec
import uvloop
from httpx_aiohttp import AiohttpTransport

from task_lab.history import HistoryWriter, Outcome, Submission
from task_lab.load.wire import Load, Ready, SenderReport

_FLUSH_EVERY_S = 0.05
_LAG_EVERY_S = 0.01
_MAX_CONNECTIONS = 1_000
# Below the five seconds after which common servers close an idle connection: a request sent on a
# connection that is being closed has no clear answer.
_IDLE_CONNECTION_S = 2.0
_NICENESS = -10


class _Answer(msgspec.Struct):
    """The part of a task that the sender needs."""

    id: str


class _Item(msgspec.Struct):
    status: int
    task: _Answer | None = None


class _Batch(msgspec.Struct):
    items: list[_Item]


_decode_task = msgspec.json.Decoder(_Answer).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode

# Outcome, status and task id of one task; a request brings one for each of its tasks.
Verdict = tuple[Outcome, int | None, str | None]
Verdicts = list[Verdict]

_ACCEPTED = (200, 201)


def open_transport() -> AiohttpTransport:
    """Connections that the sender's own limit bounds: it never waits for its pool."""
    limits = httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_IDLE_CONNECTION_S)
    return AiohttpTransport(limits=limits, trust_env=False, verify=False)


async def offer(load: Load, transport: httpx.AsyncBaseTransport) -> SenderReport:
    """Send the load, writing each submission to the history as its answer comes.

    Cancelling stops it: what is in flight then is recorded as unknown.
    """
    with HistoryWriter(Path(load.history)) as history:
        run = _Run(load, transport, history)
        samplers = [asyncio.create_task(run.sample_lag()), asyncio.create_task(run.keep_flushing())]
        try:
            return await run.send_all()
        finally:
            for sampler in samplers:
                sampler.cancel()
            await asyncio.gather(*samplers, return_exceptions=True)


class _Run:
    """One load on its way."""

    def __init__(
        self, load: Load, transport: httpx.AsyncBaseTransport, history: HistoryWriter
    ) -> None:
        self._load = load
        self._transport = transport
        self._history = history
        # Differences come from the monotonic clock; a stepped wall clock cannot bend them.
        self._anchor = time.time() - time.perf_counter()
        self._outcomes: Counter[Outcome] = Counter()
        self._problems: Counter[str] = Counter()
        self._first_scheduled_at = self._first_sent_at = self._last_answered_at = 0.0
        self._first_id = self._last_id = ""
        self._requests_by_kinds: dict[tuple[int, ...] | int, httpx.Request] = {}
        self._loop_lag_s: list[float] = []
        self._send_lag_s: list[float] = []
        self._own_lag_s: list[float] = []

    def _now(self) -> float:
        return self._anchor + time.perf_counter()

    async def send_all(self) -> SenderReport:
        load = self._load
        cpu_at_start, started_at = time.process_time(), self._now()
        requests = self._requests(started_at)
        # Whoever had a place but no connection would wait inside the client, as if for the server.
        senders = min(load.in_flight, _MAX_CONNECTIONS, -(-load.tasks // load.batch_size))
        with suppress(TimeoutError):
            async with asyncio.timeout(load.deadline_s), asyncio.TaskGroup() as group:
                for _ in range(senders):
                    group.create_task(self._send_some(requests))
        return SenderReport(
            phase=load.phase,
            submitted=self._outcomes.total(),
            accepted=self._outcomes["accepted"],
            rejected=self._outcomes["rejected"],
            unknown=self._outcomes["unknown"],
            first_scheduled_at=self._first_scheduled_at,
            first_sent_at=self._first_sent_at,
            last_answered_at=self._last_answered_at,
            duration_s=self._now() - started_at,
            cpu_s=time.process_time() - cpu_at_start,
            loop_lag_s=self._loop_lag_s,
            send_lag_s=self._send_lag_s,
            own_lag_s=self._own_lag_s,
            first_id=self._first_id or None,
            last_id=self._last_id or None,
            problems=dict(self._problems),
        )

    def _requests(self, started_at: float) -> Iterator[tuple[int, int, float | None]]:
        """First index, number of tasks and due time (None: at once) of each request."""
        load = self._load
        for number, first in enumerate(range(0, load.tasks, load.batch_size)):
            due_at = None if load.schedule_s is None else started_at + load.schedule_s[number]
            yield first, min(load.batch_size, load.tasks - first), due_at

    async def _send_some(self, requests: Iterator[tuple[int, int, float | None]]) -> None:
        """One place of the loop: take the next request, send it, take its answer, again."""
        judge = judge_single if self._load.batch_size == 1 else judge_batch
        for first, count, due_at in requests:
            is_in_time = due_at is not None and (wait_s := due_at - self._now()) > 0
            if is_in_time:
                await asyncio.sleep(wait_s)
            request = self._request(first, count)
            sent_at = self._now()
            verdicts: Verdicts = [("unknown", None, None)] * count
            try:
                response = await self._exchange(request)
                verdicts = judge(response, count)
            except httpx.HTTPError as error:
                self._problems[type(error.__cause__ or error).__name__] += 1
                if was_never_sent(error):
                    verdicts = [("rejected", None, None)] * count
            finally:
                self._record(first, verdicts, due_at or sent_at, sent_at)
                if due_at is not None:
                    self._send_lag_s.append(sent_at - due_at)
                    if is_in_time:
                        self._own_lag_s.append(sent_at - due_at)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        try:
            await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response

    def _request(self, first: int, count: int) -> httpx.Request:
        """The request for so many tasks from an index on; one for all where they are all alike."""
        load = self._load
        if load.keys is not None:
            return self._build(range(first, first + count))
        kinds = tuple(load.mix[first : first + count]) if load.mix else count
        if kinds not in self._requests_by_kinds:
            # A mix of large batches never repeats: what would be kept is of no use again.
            if load.mix and count > 1:
                return self._build(range(first, first + count))
            self._requests_by_kinds[kinds] = self._build(range(first, first + count))
        return self._requests_by_kinds[kinds]

    def _build(self, indexes: range) -> httpx.Request:
        load = self._load
        bodies = [load.bodies[load.mix[index]] if load.mix else load.bodies[0] for index in indexes]
        headers = {"content-type": "application/json"}
        path, body = "/tasks", bodies[0]
        if load.batch_size > 1:
            if load.keys is not None:
                bodies = [
                    f'{body[:-1]},"idempotency_key":"{load.keys}{index}"}}'
                    for index, body in zip(indexes, bodies, strict=True)
                ]
            path, body = "/tasks/batch", f'{{"tasks":[{",".join(bodies)}]}}'
        elif load.keys is not None:
            headers["idempotency-key"] = f"{load.keys}{indexes.start}"
        return httpx.Request(
            "POST",
            f"{load.api_url}{path}",
            headers=headers,
            content=body,
            extensions={"timeout": httpx.Timeout(load.timeout_s).as_dict()},
        )

    def _record(self, first: int, verdicts: Verdicts, scheduled_at: float, sent_at: float) -> None:
        answered_at = self._now()
        self._first_scheduled_at = min(self._first_scheduled_at or scheduled_at, scheduled_at)
        self._first_sent_at = min(self._first_sent_at or sent_at, sent_at)
        self._last_answered_at = answered_at
        for index, (outcome, status, task_id) in enumerate(verdicts, first):
            self._outcomes[outcome] += 1
            if outcome != "accepted" and status is not None:
                self._problems[f"HTTP {status}"] += 1
            if task_id is not None:
                self._first_id = min(self._first_id or task_id, task_id)
                self._last_id = max(self._last_id, task_id)
            self._history.add(
                Submission(
                    self._load.phase, index, task_id, outcome, status,
                    scheduled_at, sent_at, answered_at,
                )
            )  # fmt: skip

    async def sample_lag(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_LAG_EVERY_S)
            self._loop_lag_s.append(max(0.0, time.perf_counter() - before - _LAG_EVERY_S))

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            self._history.flush()


def judge_single(response: httpx.Response, _count: int) -> Verdicts:
    """The outcome of one POST /tasks, with the accepted task's id."""
    with suppress(msgspec.MsgspecError):
        if response.status_code in _ACCEPTED:
            return [("accepted", response.status_code, _decode_task(response.content).id)]
    return [_not_accepted(response.status_code)]


def judge_batch(response: httpx.Response, count: int) -> Verdicts:
    """The outcome of each task of one POST /tasks/batch, in order."""
    with suppress(msgspec.MsgspecError):
        if response.status_code == 200:
            items = _decode_batch(response.content).items
            if len(items) == count:
                return [_judge_item(item) for item in items]
    return [_not_accepted(response.status_code)] * count


def _judge_item(item: _Item) -> Verdict:
    if item.status in _ACCEPTED and item.task is not None:
        return "accepted", item.status, item.task.id
    return _not_accepted(item.status)


def _not_accepted(status: int) -> Verdict:
    # A 5xx says that the server failed, not that it did nothing, and a 2xx without a task says
    # nothing at all: the ledger will tell.
    return ("rejected" if 400 <= status < 500 else "unknown"), status, None


def was_never_sent(error: httpx.HTTPError) -> bool:
    """True where no connection came about, so that the server cannot have seen the request."""
    return isinstance(error.__cause__, aiohttp.ClientConnectorError)


def take_precedence() -> bool:
    """Ask the kernel to run this process before those it measures; False where it may not.

    On few cores the sender otherwise waits behind the very work it causes, and reports its own
    delay as the platform's. Linux may group processes by session and share out the processor
    between the groups; niceness then counts only within one, so the group gets it as well.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        group = Path("/proc/self/autogroup")
        if group.exists():
            group.write_text(str(_NICENESS))
    except OSError:
        return False
    return True


async def serve() -> None:
    """Offer each load read from standard input until it ends; then stop at once."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    # The collector need not look through all that was imported, several times in each load.
    gc.collect()
    gc.freeze()
    _say(msgspec.json.encode(Ready(precedence=take_precedence())))
    async with open_transport() as transport:
        while line := await commands.readline():
            offering = asyncio.create_task(offer(msgspec.json.decode(line, type=Load), transport))
            # Nothing is sent to us while we work, so only the end of input can arrive here.
            end_of_input = asyncio.create_task(commands.read(1))
            await asyncio.wait({offering, end_of_input}, return_when=asyncio.FIRST_COMPLETED)
            if not offering.done():
                offering.cancel()
                await asyncio.wait({offering})
                return
            end_of_input.cancel()
            await asyncio.wait({end_of_input})
            _say(msgspec.json.encode(offering.result()))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(serve())
