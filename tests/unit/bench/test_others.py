"""What others use of the machine, and what is ours."""

from __future__ import annotations

import os
import time

from task_lab.bench.others import Others, busy_s


def test_what_this_process_does_is_not_of_others() -> None:
    others = Others()
    ends_at = time.thread_time() + 0.2
    while time.thread_time() < ends_at:
        pass
    assert 0.0 <= others.cores() <= (os.cpu_count() or 1)


def test_the_account_of_the_whole_machine_only_rises() -> None:
    before = busy_s()
    sum(range(1_000_000))
    assert busy_s() >= before > 0
