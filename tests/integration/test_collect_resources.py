"""What processes use, sampled from real ones: busy, asleep, ended, started anew, reading a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from task_lab.collect.accounts import accounts_of
from task_lab.collect.resources import ResourceSampler, group_use, machine_use
from task_lab.errors import RuntimeUnavailable
from task_lab.report.resources import cores_by_family, samples_from, sampling
from task_lab.runtime.servers import NativeServers
from task_lab.store import read_lines

BUSY = "print(flush=True)\nwhile True: pass"
ASLEEP = "import time; print(flush=True); time.sleep(600)"
# A parent that waits for a child which works for a while.
PARENT = """
import subprocess, sys
work = "import time\\nwhile time.process_time() < 0.3: pass"
print(flush=True)
subprocess.run([sys.executable, "-c", work])
print(flush=True)
input()
"""
READER = """
import sys
with open(sys.argv[1], "rb") as file:
    while file.read(2**20): pass
print(flush=True)
input()
"""
FILE_BYTES = 200 * 2**20


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that has said its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def wait_until(is_done: Callable[[], object], deadline_s: float = 30) -> None:
    ends_at = time.monotonic() + deadline_s
    while not is_done():
        assert time.monotonic() < ends_at, "not in time"
        time.sleep(0.02)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return list(read_lines(path))


def wait_for_lines(path: Path, more: int) -> list[dict[str, Any]]:
    """All lines, once there are so many more than now."""
    wanted = len(lines_of(path)) + more
    wait_until(lambda: len(lines_of(path)) >= wanted)
    return lines_of(path)


def test_a_busy_process_is_told_from_a_sleeping_one_and_from_one_that_ended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "resources.jsonl"
    with running(BUSY) as busy, running(ASLEEP) as asleep, running(ASLEEP) as ending:
        groups = {"busy": [busy.pid], "asleep": [asleep.pid], "ending": [ending.pid]}
        before = sum(psutil.Process(busy.pid).cpu_times()[:2])
        with ResourceSampler(path, lambda: groups, every_s=0.1):
            wait_for_lines(path, 6)
            ending.kill()
            ending.wait()
            wait_for_lines(path, 12)
        used = sum(psutil.Process(busy.pid).cpu_times()[:2]) - before
    lines = lines_of(path)
    samples = samples_from(lines)
    busy_s = samples.groups["busy"].values["cpu_s"]
    assert 0 < busy_s[-1] - busy_s[0] <= used + 0.05
    asleep_s = samples.groups["asleep"].values["cpu_s"]
    assert asleep_s[-1] - asleep_s[0] <= 0.02
    assert [line["groups"].get("ending") is None for line in (lines[0], lines[-1])] == [False, True]
    assert cores_by_family(samples)["ending"][-1] == 0
    for line in lines:
        assert line["groups"]["busy"]["roots"] == [busy.pid]
        assert line["groups"]["busy"]["rss_bytes"] > 2**20


def test_a_child_counts_while_it_works_and_after_it_has_ended() -> None:
    with running(PARENT) as parent:
        before = group_use(accounts_of([parent.pid]))
        assert parent.stdout is not None
        parent.stdout.readline()
        after = group_use(accounts_of([parent.pid]))
    assert before is not None
    assert after is not None
    assert after["cpu_s"] - before["cpu_s"] >= 0.25


WORK = (
    """
import os, sys
with open(sys.argv[1], "wb") as file:
    for _ in range(8):
        file.write(bytes(2**20))
        os.fsync(file.fileno())
"""
    + BUSY
)
# As a server with the shell that started it, which ends with it.
IN_A_SHELL = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("is_in_a_shell", [False, True])
def test_what_an_ended_part_has_used_is_not_work_of_the_lab_that_started_it(
    tmp_path: Path, is_in_a_shell: bool
) -> None:
    path = tmp_path / "resources.jsonl"
    program = IN_A_SHELL if is_in_a_shell else WORK
    with running(program, str(tmp_path / "written"), WORK) as part:
        family = [psutil.Process(part.pid), *psutil.Process(part.pid).children()]
        groups = {"part": [part.pid], "lab": [os.getpid()]}
        wait_until(lambda: sum(family[-1].cpu_times()[:2]) > 1.5)
        with ResourceSampler(path, lambda: groups, every_s=0.1):
            wait_for_lines(path, 3)
            family[-1].kill()
            part.wait()
            wait_for_lines(path, 3)
    lab = [line["groups"]["lab"] for line in lines_of(path)]
    used_s = [after["cpu_s"] - before["cpu_s"] for before, after in pairwise(lab)]
    assert -0.05 < min(used_s) <= max(used_s) < 1
    sent = [after["written_bytes"] - before["written_bytes"] for before, after in pairwise(lab)]
    assert max(sent) < 4 * 2**20


def test_what_all_others_have_started_is_not_counted_with_who_started_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "resources.jsonl"
    with running(ASLEEP) as child:
        groups = {"lab": [os.getpid()], "child": [child.pid]}
        with ResourceSampler(path, lambda: groups, every_s=0.1):
            wait_for_lines(path, 2)
    own = len(psutil.Process().children(recursive=True)) + 1
    for line in lines_of(path):
        assert line["groups"]["child"]["processes"] == 1
        assert line["groups"]["lab"]["processes"] <= own


def test_a_part_that_is_started_anew_is_seen_at_once_and_counts_from_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "resources.jsonl"
    with ExitStack() as exits:
        current = exits.enter_context(running(BUSY))
        groups: dict[str, Sequence[int]] = {"api": [current.pid]}
        with ResourceSampler(path, lambda: dict(groups), every_s=0.1):
            wait_for_lines(path, 8)
            current.kill()
            current.wait()
            fresh = exits.enter_context(running(BUSY))
            groups["api"] = [fresh.pid]
            wait_for_lines(path, 4)
    lines = lines_of(path)
    used: dict[int, list[float]] = {}
    for line in lines:
        if api := line["groups"].get("api"):
            used.setdefault(api["roots"][0], []).append(api["cpu_s"])
    assert list(used) == [current.pid, fresh.pid]
    assert min(used[fresh.pid]) < max(used[current.pid])
    samples = samples_from(lines)
    cores = cores_by_family(samples)["api"]
    assert cores[~samples.is_gap].min() >= 0


def test_an_engine_that_does_not_answer_leaves_what_was_known(tmp_path: Path) -> None:
    path = tmp_path / "resources.jsonl"
    with running(ASLEEP) as child:
        asked = []

        def groups() -> Mapping[str, Sequence[int]]:
            asked.append(1)
            if len(asked) > 1:
                raise RuntimeUnavailable("no answer")
            return {"api": [child.pid]}

        with ResourceSampler(path, groups, every_s=0.05):
            wait_for_lines(path, 6)
    assert len(asked) > 1
    assert all("api" in line["groups"] for line in lines_of(path))


def test_who_answers_slowly_is_not_asked_at_every_look(tmp_path: Path) -> None:
    path = tmp_path / "resources.jsonl"
    asked = []

    def groups() -> Mapping[str, Sequence[int]]:
        asked.append(1)
        time.sleep(0.2)
        return {"lab": [os.getpid()]}

    with ResourceSampler(path, groups, every_s=0.05):
        wait_for_lines(path, 10)
    assert len(asked) == 1


def test_what_ends_the_sampling_early_is_raised_once(tmp_path: Path) -> None:
    def groups() -> Mapping[str, Sequence[int]]:
        raise ValueError("of the caller")

    sampler = ResourceSampler(tmp_path / "resources.jsonl", groups)
    with pytest.raises(ValueError, match="of the caller"):
        sampler.stop()
    sampler.stop()


def test_a_frozen_sampler_leaves_a_gap_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "resources.jsonl"
    program = (
        "import os, pathlib, sys\n"
        "from task_lab.collect.resources import ResourceSampler\n"
        "sampler = ResourceSampler(pathlib.Path(sys.argv[1]), lambda: {'lab': [os.getpid()]},"
        " every_s=0.1)\n"
        "print(flush=True)\n"
        "input()\n"
        "sampler.stop()\n"
    )
    with running(program, str(path)) as child:
        wait_for_lines(path, 3)
        child.send_signal(signal.SIGSTOP)
        time.sleep(1)
        child.send_signal(signal.SIGCONT)
        wait_for_lines(path, 4)
        child.communicate(b"\n")
    found = sampling(samples_from(lines_of(path)))
    assert max(gap["to"] - gap["from"] for gap in found["gaps"]) >= 1


def test_c10_a_file_that_was_read_is_no_memory_of_its_reader(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"1")
    with (tmp_path / "big").open("wb") as file:
        for _ in range(FILE_BYTES // 2**20):
            file.write(os.urandom(2**20))
    held = []
    for name in ("small", "big"):
        with running(READER, str(tmp_path / name)) as reader:
            use = group_use(accounts_of([reader.pid]))
            assert use is not None
            held.append(use["private_bytes"] + use["shared_bytes"])
    assert abs(held[1] - held[0]) < FILE_BYTES / 20


def test_shared_memory_of_a_server_counts_once(servers: NativeServers) -> None:
    assert servers.postgres is not None
    root = psutil.Process(servers.postgres.pid)
    family = [root, *root.children(recursive=True)]
    use = group_use(accounts_of([process.pid for process in family]))
    proportional = sum(process.memory_full_info().pss for process in family)
    assert use is not None
    counted = use["private_bytes"] + use["shared_bytes"]
    # Above by what each session got from its parent, and below the sum that counts all many times.
    assert 0.7 * proportional < counted < use["rss_bytes"]


def test_the_servers_that_run_are_named_with_their_process(servers: NativeServers) -> None:
    groups = servers.process_groups()
    assert servers.postgres is not None
    assert servers.rabbitmq is not None
    assert groups == {"postgres": [servers.postgres.pid], "rabbitmq": [servers.rabbitmq.pid]}


def test_servers_that_were_not_started_have_no_process(tmp_path: Path) -> None:
    assert NativeServers(tmp_path).process_groups() == {}


def test_the_machine_is_read_with_one_value_a_core() -> None:
    found = machine_use()
    assert {len(values) for values in found["cpu"].values()} == {psutil.cpu_count()}
    assert found["memory_available_bytes"] > 0
