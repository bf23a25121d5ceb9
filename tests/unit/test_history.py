"""The client's history: what is written, when it is on disk, and what a kill leaves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from task_lab.history import HistoryWriter, Submission, read_history

ONE = Submission("sum-w1-r01", 0, "id-0", "accepted", 201, 1.0, 1.0, 1.5)
TWO = Submission("sum-w1-r01", 1, None, "unknown", None, 1.0, 1.0, 31.0)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with HistoryWriter(tmp_path / "history.jsonl") as history:
        history.add(ONE)
        history.add(TWO)
    assert list(read_history(tmp_path / "history.jsonl")) == [ONE, TWO]


def test_a_flush_puts_all_lines_on_disk_while_the_writer_lives(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path / "history.jsonl")
    history.add(ONE)
    history.flush()
    assert list(read_history(tmp_path / "history.jsonl")) == [ONE]
    history.__exit__(None, None, None)


def test_a_second_phase_appends_to_the_first(tmp_path: Path) -> None:
    for submission in (ONE, TWO):
        with HistoryWriter(tmp_path / "history.jsonl") as history:
            history.add(submission)
    assert list(read_history(tmp_path / "history.jsonl")) == [ONE, TWO]


def test_only_the_last_line_may_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(msgspec.json.encode(ONE) + b'\n{"phase":"su')
    assert list(read_history(path)) == [ONE]
    path.write_bytes(b'{"phase":"su\n' + msgspec.json.encode(ONE) + b"\n")
    with pytest.raises(msgspec.MsgspecError):
        list(read_history(path))
