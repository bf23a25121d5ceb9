"""Watching a run from its files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from task_lab.progress import Tail, Watcher, describe
from task_lab.spec import load_definition, resolve
from task_lab.store import RunFolder, create_run

ROUND = {"workload": "sum", "workers": 3, "kind": "round", "round": 7, "tasks": 2000}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"event": "scaled", "workers": 1}, "1 worker ready"),
        ({"event": "phase_started", **ROUND}, "sum, 3 workers, round 7: 2,000 tasks"),
        (
            {
                "event": "phase_ended",
                **ROUND,
                "drained": True,
                "accepted": 2000,
                "submit_per_s": 1234.5,
            },
            "sum, 3 workers, round 7: 2,000 at 1,234/s, all finished",
        ),
        (
            {"event": "phase_ended", **ROUND, "kind": "drain", "drained": False},
            "sum, 3 workers, drain: did not drain in time",
        ),
        ({"event": "floor_measured", "reason": "no disk"}, "no floor: no disk"),
        ({"event": "resumed", "phase": "sum-w1-drain"}, None),
        ({"event": "something new"}, None),
    ],
)
def test_an_event_is_told_in_a_line_or_not_at_all(event: dict[str, Any], line: str | None) -> None:
    assert describe(event) == line


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    tail = Tail(path)
    assert tail.news() == []
    path.write_bytes(b"a\nb\nc")
    assert tail.news() == [b"a", b"b"]
    with path.open("ab") as file:
        file.write(b"c\n")
    assert tail.news() == [b"cc"]
    assert tail.news() == []


SPEC = resolve(load_definition("throughput"), {"tasks": 5, "rounds": 1, "drain_tasks": 10})


def new_run(results: Path) -> RunFolder:
    params = {"asked": {}, "resolved": SPEC.model_dump(mode="json")}
    return create_run("throughput", {"params": params}, results=results)


def test_what_happened_before_the_end_is_always_told(tmp_path: Path) -> None:
    folder, output = new_run(tmp_path), io.StringIO()
    with Watcher(folder, console=Console(file=output)):
        folder.append_event("scaled", workers=3)
        folder.append_event("checked", verdict="PASS")
    assert output.getvalue().splitlines() == ["3 workers ready", "checks: PASS"]


def test_a_terminal_gets_a_bar_that_counts_the_submitted_tasks(tmp_path: Path) -> None:
    folder, output = new_run(tmp_path), io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with Watcher(folder, console=console):
        (folder / "history.jsonl").write_text("{}\n" * 7)
    assert "7/80" in output.getvalue()  # two workloads, two worker counts: 4 x (5 + 5 + 10)
