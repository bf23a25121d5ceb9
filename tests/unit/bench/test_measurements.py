"""The lines a bench leaves: on disk at once, and read back as they were."""

from __future__ import annotations

from pathlib import Path

from task_lab.bench.drained import Drained
from task_lab.bench.measurements import (
    FILE,
    Cost,
    Line,
    Measurements,
    Problem,
    PromisedLess,
    read_measurements,
)
from task_lab.bench.rows import Group
from task_lab.errors import LabError


def test_what_was_measured_is_on_disk_and_told_as_it_comes(tmp_path: Path) -> None:
    heard: list[Line] = []
    measured = Measurements(tmp_path, heard.append)
    measured.add(Group.DRAIN, "drain_1w_per_s", 16_000.5, cycle=2)
    measured.add(Group.LATENCY, "idle_latency_ms", values=[1.5, 2.5])
    measured.add(Group.DRAIN, "cpu_drain_ms_per_task", 0.1, parts={"worker": 0.1})
    measured.checked(Group.DRAIN, "drain", 20_000)
    measured.failed(Group.HTTP, LabError("wrk is not installed"))
    measured.append(Cost(process="api", function="f", place="a.py:1", share=0.5))
    assert read_measurements(tmp_path) == measured.lines == heard
    assert measured.values("drain_1w_per_s") == [16_000.5]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    measured = Measurements(tmp_path)
    measured.checked(Group.DRAIN, "drain", 1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"kind":"chec')
    assert read_measurements(tmp_path) == measured.lines


def test_a_bench_that_measured_nothing_has_no_lines(tmp_path: Path) -> None:
    assert read_measurements(tmp_path) == []


def test_only_a_broken_promise_is_wrong(tmp_path: Path) -> None:
    measured = Measurements(tmp_path)
    for error in (PromisedLess("one is lost"), LabError("no broker"), ZeroDivisionError("bug")):
        measured.failed(Group.DRAIN, error)
    told = [(line.reason, line.is_wrong) for line in measured.lines if isinstance(line, Problem)]
    assert told == [
        ("one is lost", True),
        ("LabError: no broker", False),
        ("ZeroDivisionError: bug", False),
    ]


def test_no_reason_gives_a_log_in_away(tmp_path: Path) -> None:
    measured = Measurements(tmp_path)
    measured.failed(Group.DRAIN, OSError("amqp://user:s3cret@127.0.0.1:5672/ refused"))
    text = (tmp_path / FILE).read_text()
    assert "s3cret" not in text and "user" not in text
    assert "127.0.0.1:5672" in text


def test_a_drain_whose_clocks_disagree_is_never_fast() -> None:
    assert Drained(100, released_at=10.0, ended_at=12.0).per_s == 50.0
    assert Drained(100, released_at=10.0, ended_at=10.0).per_s == 0.0
    assert Drained(100, released_at=10.0, ended_at=9.0).per_s == 0.0
