"""py-spy on a process that is busy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from task_lab.bench.flames import SamplingFailed, largest_costs, record

# Compiled with a path of its own, as a handler's file may have.
BUSY = """
source = "import json\\ndef burn():\\n    while True: json.dumps([1] * 999)\\nburn()\\n"
print(flush=True)
exec(compile(source, "/home/somebody/busy.py", "exec"))
"""


@pytest.fixture
def busy() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_the_picture_and_the_costs_name_functions_and_no_place_on_this_machine(
    busy: int, tmp_path: Path
) -> None:
    try:
        record(busy, tmp_path / "worker.svg", seconds=1)
    except SamplingFailed as error:
        if "ermission" in str(error):
            pytest.skip(str(error))
        raise
    svg = (tmp_path / "worker.svg").read_text("utf-8")
    assert "burn (busy.py:" in svg
    assert ">worker</text>" in svg
    assert not re.search(r"[ (>]/(home|root|usr|work|opt|tmp|var)\b", svg)
    costs = largest_costs(busy, seconds=1)
    assert costs[0].place.startswith(("json/", "busy.py"))
    assert 0.5 < sum(cost.share for cost in costs) <= 1.000001
