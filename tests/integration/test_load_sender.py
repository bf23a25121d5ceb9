"""The sender against servers that answer well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import psutil
import pytest
from task_lab.history import Submission, read_history
from task_lab.load.calibration import calibrate
from task_lab.load.processes import Generator, GeneratorDied, Stub
from task_lab.load.schedule import constant_schedule
from task_lab.load.sender import offer, open_transport
from task_lab.load.wire import Load, SenderReport

TASK = '{"task_type":"sum","payload":{"numbers":[1,2]}}'

# What a server does with its n-th request: answer (status, body), hang up, or never answer.
Answer = tuple[int, object] | None
Behaviour = Callable[[int, bytes], Answer]
NEVER: Answer = (0, None)


@asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[str]:
    """A server of one's own behaviour; yields its URL."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                count += 1
                answer = behave(count, body)
                if answer is None:
                    break
                if answer is not NEVER:
                    status, document = answer
                    text = json.dumps(document).encode()
                    head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(text))
                    writer.write(head + text)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = running.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.close()


async def send(behave: Behaviour, history: Path, **load: object) -> SenderReport:
    async with server(behave) as url:
        return await send_to(url, history, **load)


async def send_to(url: str, history: Path, **load: object) -> SenderReport:
    wanted = {"phase": "p", "tasks": 20, "in_flight": 4, "timeout_s": 1.0, **load}
    async with open_transport() as transport:
        described = {"api_url": url, "bodies": [TASK], "history": str(history), **wanted}
        return await offer(msgspec.convert(described, Load), transport)


def created(_: int, __: bytes) -> Answer:
    return 201, {"id": str(uuid4())}


def of(path: Path) -> list[Submission]:
    return sorted(read_history(path), key=lambda one: one.index)


async def test_every_accepted_task_is_in_the_history_with_its_id_and_times(tmp_path: Path) -> None:
    report = await send(created, tmp_path / "h", tasks=200, in_flight=16)
    sent = of(tmp_path / "h")
    assert [one.index for one in sent] == list(range(200))
    assert {one.outcome for one in sent} == {"accepted"}
    assert len({one.task_id for one in sent}) == 200
    assert all(one.scheduled_at == one.sent_at <= one.answered_at for one in sent)
    assert (report.submitted, report.accepted) == (200, 200)
    assert report.first_id == min(str(one.task_id) for one in sent)
    assert report.last_id == max(str(one.task_id) for one in sent)
    assert report.first_sent_at == min(one.sent_at for one in sent)
    assert report.last_answered_at == max(one.answered_at for one in sent)


async def test_an_answer_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    # What other tests left is not meant.
    gc.collect()
    gc.disable()
    try:
        await send(created, tmp_path / "h", tasks=200, in_flight=8)
        left = [one for one in gc.get_objects() if isinstance(one, httpx.Response)]
    finally:
        gc.enable()
    assert left == []


async def test_d1_a_closed_loop_never_has_more_in_flight_than_asked(tmp_path: Path) -> None:
    await send(created, tmp_path / "h", tasks=300, in_flight=8)
    sent = of(tmp_path / "h")
    for one in sent:
        overlapping = [x for x in sent if x.sent_at <= one.sent_at < x.answered_at]
        assert len(overlapping) <= 8


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        ((200, {"id": "x"}), "accepted", 200),
        ((422, {"title": "bad"}), "rejected", 422),
        ((429, {}), "rejected", 429),
        # the server failed; whether it had committed before is for the ledger to say
        ((500, {}), "unknown", 500),
        ((503, {}), "unknown", 503),
        ((201, {"no": "id"}), "unknown", 201),
        (None, "unknown", None),
        (NEVER, "unknown", None),
    ],
)
async def test_an_answer_decides_the_outcome_and_the_lack_of_one_is_unknown(
    tmp_path: Path, answer: Answer, outcome: str, status: int | None
) -> None:
    report = await send(lambda *_: answer, tmp_path / "h", tasks=1, timeout_s=0.2)
    (sent,) = of(tmp_path / "h")
    assert (sent.outcome, sent.status) == (outcome, status)
    assert {"accepted": report.accepted, "rejected": report.rejected, "unknown": report.unknown}[
        outcome
    ] == 1


async def test_a_connection_that_never_came_about_is_a_refusal(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    report = await send_to(f"http://127.0.0.1:{unused_tcp_port}", tmp_path / "h", tasks=3)
    assert (report.rejected, report.unknown) == (3, 0)
    assert report.problems == {"ConnectionRefusedError": 3} or "Connect" in str(report.problems)


async def test_a_batch_is_answered_task_by_task(tmp_path: Path) -> None:
    def behave(_: int, body: bytes) -> Answer:
        tasks = json.loads(body)["tasks"]
        items = [{"status": 201, "task": {"id": str(uuid4())}, "error": None} for _ in tasks]
        items[0] = {"status": 422, "task": None, "error": {"title": "bad"}}
        return 200, {"items": items}

    report = await send(behave, tmp_path / "h", tasks=25, batch_size=10, in_flight=2)
    sent = of(tmp_path / "h")
    assert [one.index for one in sent if one.outcome == "rejected"] == [0, 10, 20]
    assert (report.accepted, report.rejected) == (22, 3)


async def test_a_batch_answered_with_too_few_items_proves_nothing(tmp_path: Path) -> None:
    behave: Behaviour = lambda *_: (200, {"items": []})  # noqa: E731
    report = await send(behave, tmp_path / "h", tasks=10, batch_size=10)
    assert report.unknown == 10


async def test_d5_a_freeze_shows_in_latency_from_the_scheduled_time(tmp_path: Path) -> None:
    def freeze(count: int, body: bytes) -> Answer:
        if count == 20:
            time.sleep(0.5)  # the whole server stands still
        return created(count, body)

    schedule = constant_schedule(100, per_s=200)
    report = await send(freeze, tmp_path / "h", tasks=100, in_flight=100, schedule_s=schedule)
    sent = of(tmp_path / "h")
    slow = [one for one in sent if one.answered_at - one.scheduled_at > 0.1]
    assert len(slow) >= 60  # what was due during the freeze, not the one request that met it
    assert len(report.send_lag_s) == 100
    spacing = [later.scheduled_at - one.scheduled_at for one, later in pairwise(sent)]
    assert spacing == pytest.approx([0.005] * 99, abs=1e-6)


async def test_an_open_loop_sends_on_time_when_it_can(tmp_path: Path) -> None:
    schedule = constant_schedule(40, per_s=100)
    report = await send(created, tmp_path / "h", tasks=40, schedule_s=schedule)
    assert 0.38 <= report.duration_s < 1.5
    assert sorted(report.send_lag_s)[20] < 0.02


async def test_at_the_deadline_nothing_more_is_sent_and_what_flies_is_unknown(
    tmp_path: Path,
) -> None:
    report = await send(
        lambda *_: NEVER, tmp_path / "h", tasks=50, in_flight=5, timeout_s=30.0, deadline_s=0.3
    )
    assert (report.submitted, report.unknown) == (5, 5)


def load(url: str, folder: Path, **changes: object) -> Load:
    described = {
        "phase": "p",
        "api_url": url,
        "bodies": [TASK],
        "tasks": 100,
        "in_flight": 4,
        "history": str(folder / "history.jsonl"),
        **changes,
    }
    return msgspec.convert(described, Load)


def process_of(module: str) -> psutil.Process:
    """The one child of ours that runs the module."""
    children = psutil.Process().children()
    (found,) = (child for child in children if f"task_lab.{module}" in child.cmdline())
    return found


def test_calibration_reaches_the_generators_own_limit_not_the_stubs(tmp_path: Path) -> None:
    with Generator(tmp_path / "log") as generator, Stub(tmp_path / "stub") as stub:
        server = process_of("load.stub")
        before = sum(server.cpu_times()[:2])
        report = generator.offer(load(stub.url, tmp_path, tasks=2_000, in_flight=32))
        assert sum(server.cpu_times()[:2]) - before < report.cpu_s / 2
    assert (report.accepted, report.problems) == (2_000, {})


def test_calibration_says_what_the_generator_reaches(tmp_path: Path) -> None:
    with Generator(tmp_path / "log") as generator:
        reached = calibrate(generator, TASK, tasks=500, in_flight=16, scratch=tmp_path)
    assert (reached.accepted, reached.problems) == (500, {})
    assert reached.submit_per_s == pytest.approx(500 / reached.duration_s, rel=0.2)
    assert len(reached.loop_lag_s) > 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to raise a priority")
def test_the_generator_runs_before_what_it_measures(tmp_path: Path) -> None:
    with Generator(tmp_path / "log") as generator:
        assert generator.has_precedence
        assert process_of("load.sender").nice() < psutil.Process().nice()


def test_one_generator_offers_several_loads_into_one_history(tmp_path: Path) -> None:
    with Generator(tmp_path / "log") as generator, Stub(tmp_path / "stub") as stub:
        for phase in ("a", "b"):
            assert generator.offer(load(stub.url, tmp_path, phase=phase)).accepted == 100
    phases = [one.phase for one in read_history(tmp_path / "history.jsonl")]
    assert phases == ["a"] * 100 + ["b"] * 100


def test_a_generator_that_is_killed_is_an_error_not_an_empty_result(tmp_path: Path) -> None:
    with Generator(tmp_path / "log") as generator, Stub(tmp_path / "stub") as stub:
        process_of("load.sender").kill()
        with pytest.raises(GeneratorDied):
            generator.offer(load(stub.url, tmp_path))


LAB = """
import sys
from pathlib import Path
from task_lab.load.processes import Generator, Stub
from task_lab.load.wire import Load
folder = Path(sys.argv[1])
with Generator(folder / "log") as generator, Stub(folder / "stub") as stub:
    print("offering", flush=True)
    generator.offer(Load(phase="p", api_url=stub.url, bodies=["{}"], tasks=10**6, in_flight=4,
                         history=str(folder / "history.jsonl")))
"""


def test_a7_a_killed_lab_leaves_no_load_and_its_history_on_disk(tmp_path: Path) -> None:
    lab = subprocess.Popen([sys.executable, "-c", LAB, str(tmp_path)], stdout=subprocess.PIPE)
    assert lab.stdout is not None
    with lab.stdout:
        assert lab.stdout.readline() == b"offering\n"
        history = tmp_path / "history.jsonl"
        wait_for(lambda: history.exists() and history.stat().st_size > 50_000)
        children = psutil.Process(lab.pid).children()
        assert len(children) == 2
        lab.send_signal(signal.SIGKILL)
        lab.wait()
    wait_for(lambda: not any(child.is_running() for child in children))
    sent = list(read_history(history))
    assert len(sent) > 100
    assert {one.outcome for one in sent[:100]} == {"accepted"}
    assert history.read_bytes().endswith(b"\n")


def wait_for(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
