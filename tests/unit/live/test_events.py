"""A run for other programs: every line is JSON, and says what the run said."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from task_lab.live.events import JsonLines, strict_json
from task_lab.live.feed import News
from task_lab.live.state import RunState

from tests.unit.live.story import START, events, state_at


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


def lines_of(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=refuse) for line in output.getvalue().splitlines()]


def test_each_event_is_a_line_as_the_run_wrote_it_behind_the_runs_own_path() -> None:
    output = io.StringIO()
    display = JsonLines(output, Path("/results/faults/one"))
    state = RunState()
    for event in events():
        news = News(events=[event])
        state.take(news)
        display.show(state, news, event["at"])
    told = lines_of(output)
    assert told[0] == {"at": START + 0.5, "event": "watching", "run": "/results/faults/one"}
    assert [line for line in told[1:] if line["event"] != "progress"] == events()


def test_progress_comes_once_a_second_with_the_numbers_of_the_state() -> None:
    output = io.StringIO()
    display, state = JsonLines(output, Path("run")), state_at(42)
    for tenth in range(31):
        display.show(state, News(), START + 42 + tenth / 10)
    told = [line for line in lines_of(output) if line["event"] == "progress"]
    assert len(told) in {3, 4}
    assert {key: told[0][key] for key in ("phase", "kind", "workers", "offered", "unknown")} == {
        "phase": "effect-w3-load",
        "kind": "load",
        "workers": 3,
        "offered": 12_197,
        "unknown": 47,
    }
    assert told[0]["at"] == START + 42
    assert told[0]["cores"]["postgres"] == pytest.approx(0.52)
    assert told[0]["elapsed_s"] == pytest.approx(42)
    assert told[0]["eta_s"] > 0
    assert told[0]["eta_method"] == "the durations planned"
    assert (told[0]["phases_done"], told[0]["phases_planned"]) == (1, 4)
    active = {key: told[0][f"faults_{key}"] for key in ("planned", "active", "healed")}
    assert active == {"planned": 1, "active": 1, "healed": 1}


def test_what_is_not_known_is_null() -> None:
    output = io.StringIO()
    JsonLines(output, Path("run")).show(RunState(), News(), START)
    told = lines_of(output)[-1]
    unknown = ("phase", "phases_planned", "backlog", "eta_s", "eta_method", "checks")
    assert [told[key] for key in unknown] == [None] * 6


def test_an_interrupt_says_what_is_healed_and_where_the_partial_run_is() -> None:
    output = io.StringIO()
    JsonLines(output, Path("/results/run")).interrupted(state_at(42), START + 42)
    assert lines_of(output) == [
        {
            "at": START + 42,
            "event": "interrupted",
            "run": "/results/run",
            "healing": ["database_restart"],
            "stopping": True,
        }
    ]


def test_numbers_that_json_does_not_have_are_null() -> None:
    document = {"a": float("nan"), "b": [1.5, float("inf"), {"c": float("-inf")}], "d": "NaN"}
    found = json.loads(strict_json(document), parse_constant=refuse)
    assert found == {"a": None, "b": [1.5, None, {"c": None}], "d": "NaN"}


def test_a_line_stays_a_line() -> None:
    assert "\n" not in strict_json({"reason": "two\nlines\u2028and more"})
