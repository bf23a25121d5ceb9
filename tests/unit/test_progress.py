"""Events as lines for people."""

from __future__ import annotations

from typing import Any

import pytest
from task_lab.progress import describe, tell

LOAD = {"workload": "sleep", "workers": 1, "kind": "step", "tasks": 900, "offered_per_s": 450.0}
KILL = {"kind": "kill", "target": "worker-2"}
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
            "sum, 3 workers, round 7: 2,000 submitted at 1,234/s, all finished",
        ),
        (
            {
                "event": "phase_ended",
                **ROUND,
                "kind": "drain",
                "drained": True,
                "accepted": 20_000,
                "submit_per_s": 18_103.2,
            },
            "sum, 3 workers, drain: 20,000 filled in at 18,103/s, then drained",
        ),
        (
            {"event": "phase_ended", **ROUND, "kind": "drain", "drained": False},
            "sum, 3 workers, drain: did not drain in time",
        ),
        ({"event": "floor_measured", "reason": "no disk"}, "no floor: no disk"),
        (
            {"event": "phase_started", **LOAD, "duration_s": 2.0},
            "sleep, 1 worker, step at 450/s: 900 tasks in 2 s",
        ),
        ({"event": "plan", "phases": [ROUND, ROUND]}, "2 phases planned"),
        ({"event": "fault_planned", "faults": []}, "no fault is planned"),
        (
            {"event": "fault_planned", "faults": [{**KILL, "at_s": 10.0}] * 6},
            f"faults planned: {', '.join(['kill of worker-2 at 10 s'] * 4)} and 2 more",
        ),
        ({"event": "fault_started", **KILL}, None),
        ({"event": "fault_injected", **KILL, "bit": True}, "kill of worker-2 bites"),
        (
            {"event": "fault_injected", **KILL, "bit": False},
            "kill of worker-2 did not reach its target",
        ),
        (
            {"event": "fault_healed", "kind": "broker_restart", "target": "broker"},
            "broker_restart is healed",
        ),
        (
            {"event": "fault_skipped", **KILL, "reason": "it is gone"},
            "kill of worker-2 is skipped: it is gone",
        ),
        ({"event": "searched", "rate_per_s": 483.2}, "the highest sustainable rate: 483/s"),
        ({"event": "settled", "settled": False}, "the platform did not come to rest in time"),
        (
            {"event": "stopped", "ended": "completed"},
            "the stack is stopped; summary, figures and page are made",
        ),
        (
            {"event": "stopped", "ended": "interrupted"},
            "the stack is stopped, the run was interrupted",
        ),
        ({"event": "resumed", "phase": "sum-w1-drain"}, None),
        ({"event": "something new"}, None),
    ],
)
def test_an_event_is_told_in_a_line_or_not_at_all(event: dict[str, Any], line: str | None) -> None:
    assert describe(event) == line


def test_an_event_without_its_fields_is_told_by_its_name() -> None:
    assert describe({"event": "floor_measured"}) == "floor measured"


def test_a_notebook_prints_what_there_is_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    tell({"event": "resumed"})
    tell({"event": "scaled", "workers": 3})
    assert capsys.readouterr().out == "3 workers ready\n"
