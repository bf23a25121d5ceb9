"""Showing a bench while it goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from task_lab.bench.measurements import Line
from task_lab.bench.plan import Plan
from task_lab.bench.rows import Group
from task_lab.bench.telling import Teller, describe

from .lines import problem, sample, series


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (series("drain_1w_per_s", 16_012.3)[0], "drain_1w_per_s 16,012 tasks/s"),
        (series("buffers_per_task_full", 17.4)[0], "buffers_per_task_full 17.4 pages"),
        (sample("idle_latency_ms", [1.0])[0], None),
        (problem(Group.PEER, "not installed"), "peer: not installed"),
    ],
)
def test_a_line_is_told_as_people_say_it(line: Line, text: str | None) -> None:
    assert describe(line) == text


@pytest.mark.parametrize("quiet", [False, True])
def test_groups_and_findings_are_told_unless_nobody_wants_to_hear(quiet: bool) -> None:
    said = io.StringIO()
    console = Console(file=said, quiet=quiet)
    with Teller(Plan(groups=(Group.DRAIN,)), quiet=quiet, console=console) as teller:
        teller.tell(Group.DRAIN)
        teller.tell(series("drain_1w_per_s", 16_012.3)[0])
        teller.tell(problem(Group.DRAIN, "[red] is no markup"))
    told = "measuring drain\n  drain_1w_per_s 16,012 tasks/s\n  drain: [red] is no markup\n"
    assert said.getvalue() == ("" if quiet else told)
