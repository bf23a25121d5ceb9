"""Lines of the kernel about processes, and which part each process belongs to."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.collect import proc

HERTZ = os.sysconf("SC_CLK_TCK")
LINE = (
    "77 (%s) S 12 77 77 0 -1 4194560 1 2 3 4 200 100 50 25 20 0 7 0 55 1000 200 "
    "18446744073709551615 0 0\n"
)


@pytest.mark.parametrize("name", ["sh", "a b", ") R 1 (", "((", "S) S 99"])
def test_a_name_may_hold_anything(name: str) -> None:
    found = proc.parse_stat((LINE % name).encode())
    assert found == proc.Stat(parent=12, is_zombie=False, cpu_s=375 / HERTZ, threads=7)


def test_a_process_that_is_gone_has_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for read in (
        proc.read_stat,
        proc.read_memory,
        proc.read_transfer,
        proc.read_switches,
        proc.count_descriptors,
    ):
        assert read(gone.pid) is None


def test_what_is_read_is_what_others_read() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        known = psutil.Process(child.pid)
        stat, memory = proc.read_stat(child.pid), proc.read_memory(child.pid)
        before, switches = known.num_ctx_switches(), proc.read_switches(child.pid)
        transfer = proc.read_transfer(child.pid)
        assert stat is not None
        assert (stat.parent, stat.is_zombie, stat.threads) == (os.getpid(), False, 1)
        assert stat.cpu_s == pytest.approx(sum(known.cpu_times()[:4]))
        assert memory is not None
        assert memory.rss_bytes == known.memory_info().rss
        assert 0 < memory.shared_bytes < memory.rss_bytes
        assert proc.count_descriptors(child.pid) == known.num_fds()
        # It may still be on its way to sleep: what is read lies between two looks of another.
        after = known.num_ctx_switches()
        assert switches is not None
        assert before[0] <= switches[0] <= after[0]
        assert before[1] <= switches[1] <= after[1]
        assert transfer is not None
        io = known.io_counters()
        assert transfer == (io.read_bytes, io.write_bytes)
        assert proc.all_parents()[child.pid] == os.getpid()
        child.communicate(b"\n")


def test_a_process_belongs_to_the_nearest_root_above_it() -> None:
    parents = {1: 0, 10: 1, 20: 10, 21: 20, 22: 21, 30: 10, 31: 30, 99: 1}
    assert proc.members_of({"lab": [10], "postgres": [20], "gone": [77]}, parents) == {
        "lab": [10, 30, 31],
        "postgres": [20, 21, 22],
        "gone": [77],
    }


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=30),
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(1, 30), max_size=3)),
)
def test_no_process_is_counted_twice(parents: list[int], roots: dict[str, list[int]]) -> None:
    taken = [pid for pids in roots.values() for pid in pids]
    if len(taken) != len(set(taken)):
        return
    tree = dict(enumerate(parents, start=1))
    found = [pid for pids in proc.members_of(roots, tree).values() for pid in pids]
    assert len(found) == len(set(found))
    assert set(taken) <= set(found)
