"""The load generator as the slow part, and clocks that differ."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pandas as pd
import psutil
import pytest
from task_lab.history import Submission, read_history
from task_lab.load import sender
from task_lab.load.calibration import calibrate, judge_closed_loop, judge_open_loop
from task_lab.load.processes import Generator, Stub
from task_lab.load.sender import offer, open_transport
from task_lab.load.wire import Load, SenderReport
from task_lab.report.sections import section_html
from task_lab.report.summary import summarise
from task_lab.stats import percentile
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from ..run_folders import FakeRun, write_run
from .platform.processes import announce, submit, until_state
from .platform.real_processes import started

TASK = '{"task_type":"sum","payload":{"numbers":[1,2]}}'
BODY = b'{"id":"01890000-0000-7000-8000-000000000000"}'
ANSWER = b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
HOLDS_S = 0.05
BEHIND = 12
BURNER = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


class Holding:
    """A server that takes the same time for each request, however many there are."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.now += 1
                self.most = max(self.most, self.now)
                await asyncio.sleep(HOLDS_S)
                self.now -= 1
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def holding() -> AsyncIterator[tuple[Holding, str]]:
    server = Holding()
    running = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = running.sockets[0].getsockname()
    try:
        yield server, f"http://{host}:{port}"
    finally:
        running.close()


def load(url: str, folder: Path, **changes: object) -> Load:
    described = {
        "phase": "p",
        "api_url": url,
        "bodies": [TASK],
        "tasks": 100,
        "in_flight": 100,
        "history": str(folder / "history.jsonl"),
        **changes,
    }
    return msgspec.convert(described, Load)


async def send(url: str, folder: Path, **changes: object) -> tuple[SenderReport, list[Submission]]:
    async with open_transport() as transport:
        report = await offer(load(url, folder, **changes), transport)
    return report, list(read_history(folder / "history.jsonl"))


async def test_d1_waiting_for_a_place_is_the_generators_delay_not_the_servers(
    tmp_path: Path,
) -> None:
    async with holding() as (server, url):
        report, sent = await send(
            url, tmp_path, tasks=2_000, in_flight=100, schedule_s=[0.0] * 2_000
        )
    assert (report.accepted, report.problems) == (2_000, {})
    assert server.most <= 100
    by_server = percentile([one.answered_at - one.sent_at for one in sent], 0.99)
    by_waiting = [one.sent_at - one.scheduled_at for one in sent]
    # 20 turns of 100 places: the last had to wait for 19
    assert max(by_waiting) > 19 * HOLDS_S
    assert by_server < max(by_waiting) / 2
    assert sorted(report.send_lag_s) == pytest.approx(sorted(by_waiting))


async def test_d1_no_more_places_are_used_than_there_are_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_MAX_CONNECTIONS", 20)
    async with holding() as (server, url):
        report, sent = await send(url, tmp_path, tasks=200, in_flight=100)
    assert (report.accepted, server.most) == (200, 20)
    # whoever waited for a connection inside the client would be five turns late
    assert percentile([one.answered_at - one.sent_at for one in sent], 0.9) < 3 * HOLDS_S


def test_d2_what_the_generator_reaches_against_a_stub_bounds_what_it_may_offer(
    tmp_path: Path,
) -> None:
    with Generator(tmp_path / "log") as generator:
        reached = calibrate(generator, TASK, tasks=3_000, in_flight=200, scratch=tmp_path)
    assert (reached.accepted, reached.problems) == (3_000, {})
    stub_per_s = reached.submit_per_s
    assert judge_open_loop("point", 0.49 * stub_per_s, stub_per_s) == []
    (reason,) = judge_open_loop("point", 0.51 * stub_per_s, stub_per_s)
    assert "at least" in reason
    # closed loop: its own processor time and the lag of its loop are there to decide
    assert 0 < reached.cpu_share <= 1.05
    assert len(reached.loop_lag_s) > 10


@contextmanager
def burnt(process: psutil.Process) -> Iterator[None]:
    """A process on a core that others keep busy, and that comes last on it."""
    core = process.cpu_affinity()[0]
    process.cpu_affinity([core])
    process.nice(BEHIND)
    # Where the kernel shares out time between sessions, niceness counts within one only.
    group = Path(f"/proc/{process.pid}/autogroup")
    if group.exists():
        group.write_text(str(BEHIND))
    burners = [
        subprocess.Popen([sys.executable, "-c", BURNER, str(core)], start_new_session=True)
        for _ in range(3)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def test_d4_a_generator_whose_core_is_burnt_makes_its_run_invalid(tmp_path: Path) -> None:
    with (
        Generator(tmp_path / "log") as generator,
        Stub(tmp_path / "stub") as stub,
        burnt(psutil.Process(generator.pid)),
    ):
        report = generator.offer(load(stub.url, tmp_path, tasks=10**6, in_flight=4, deadline_s=4.0))
    # On a busy machine it may have stood still as well.
    reasons = judge_closed_loop("sum with 1 workers", [report])
    assert any("woke up over 50 ms late" in reason for reason in reasons)


SHIFTED_CLOCK = """
import time

behind, behind_ns = time.time, time.time_ns
time.time = lambda: behind() - 0.2
time.time_ns = lambda: behind_ns() - 200_000_000
"""
CLOCK = """
import time
from task_platform.handlers import task

@task("clock", inline=True)
def clock(payload):
    return {"now": time.time()}
"""


async def test_d7_a_workers_own_clock_is_in_no_time_of_the_ledger(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED_CLOCK)
    (tmp_path / "clock.py").write_text(CLOCK)
    async with started(settings, "worker", tmp_path, HANDLERS="clock"):
        ids = await submit(pool, 20, task_type="clock", payload={})
        await announce(settings, ids)
        await until_state(pool, ids, "SUCCEEDED", within_s=20)
        read_at = time.time()
    found = await pool.fetch(
        "select extract(epoch from created_at)::float8 as created_at,"
        " extract(epoch from due_at)::float8 as due_at,"
        " extract(epoch from started_at)::float8 as started_at,"
        " extract(epoch from finished_at)::float8 as finished_at, result"
        " from tasks where id = any($1)",
        ids,
    )
    assert len(found) == 20
    for row in found:
        # the worker's clock is behind by more than its tasks take
        assert json.loads(row["result"])["now"] < row["started_at"] - 0.1
        assert row["created_at"] <= row["due_at"] <= row["started_at"] <= row["finished_at"]
        assert row["finished_at"] <= read_at


def test_d7_latencies_that_end_before_they_begin_are_told_on_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    ledger = pd.read_parquet(folder / "tasks.parquet")
    times = ["created_at", "due_at", "started_at", "finished_at"]
    ledger[times] -= 5.0  # the database's clock is behind the client's
    ledger.to_parquet(folder / "tasks.parquet")
    summarise(folder)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "latency.png").write_bytes(b"any picture")
    assert "latencies are negative: the clocks" in section_html(folder, "latency")
