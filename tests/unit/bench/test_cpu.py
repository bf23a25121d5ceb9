"""Which processes a part of the stack is, and that its account only rises."""

from __future__ import annotations

import os
import subprocess
import sys

from task_lab.bench.cpu import CpuMeter, with_descendants

# process → its parent
TREE = {2: 1, 3: 1, 4: 2, 5: 4, 6: 3, 7: 7}


def test_a_part_is_its_processes_and_all_below_them() -> None:
    assert with_descendants([2], TREE) == [2, 4, 5]
    assert sorted(with_descendants([1], TREE)) == [1, 2, 3, 4, 5, 6]


def test_a_process_counts_once_however_often_it_is_below() -> None:
    assert with_descendants([2, 4, 2], TREE) == [2, 4, 5]


def test_a_process_that_is_its_own_parent_is_no_trouble() -> None:
    assert with_descendants([7], TREE) == [7]


def test_roots_count_although_nobody_listed_them() -> None:
    assert with_descendants([9], TREE) == [9]


def test_nothing_is_read_for_a_part_without_processes() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert CpuMeter({"none": [], "gone": [gone.pid]}).read() == {"none": 0.0, "gone": 0.0}


def test_children_count_while_they_live_and_after_they_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.15: pass\n"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    wait = f"{child}; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        meter = CpuMeter({"parent": [parent.pid], "self": [os.getpid()]})
        before = meter.read()
        parent.stdout.readline()
        after = meter.read()
        parent.communicate()
    assert after["parent"] - before["parent"] >= 0.1  # kernels count in steps of up to 10 ms
    assert meter.read()["parent"] >= after["parent"]
