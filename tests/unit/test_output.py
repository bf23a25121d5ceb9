"""What commands print: Markdown into files, columns on a terminal, and nothing cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from task_lab.output import Table, markdown, show

ID = "20260101T000000Z-aaaaaaa-000a"
TABLE = Table(
    ["run", "verdict", "n", "what it found"],
    [[ID, "PASS", "10", "sum 1: 2,163, sum 3: 1,323, sleep 1: 473, sleep 3: 1,248 tasks/s"]],
    text_columns=2,
)


def test_a_file_gets_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    show(["# title", Table(["a|b", "n"], [["x|y", "1"]], last_is_text=False)])
    assert capsys.readouterr().out == ("# title\n\n| a\\|b | n |\n| --- | ---: |\n| x\\|y | 1 |\n")
    assert markdown([]) == ""


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_on_a_terminal_of_any_width_an_id_stays_whole(width: int) -> None:
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=width, color_system=None)
    show(["# title", TABLE], console)
    [line] = [line for line in told.getvalue().splitlines() if ID in line]
    assert "PASS" in line
    assert " 10 " in line
    words = told.getvalue().split()
    assert all(word in words for word in TABLE.rows[0][-1].split())
    assert console.width == width


def test_a_verdict_has_its_colour_on_a_terminal() -> None:
    told = io.StringIO()
    show([TABLE], Console(file=told, force_terminal=True, width=120, color_system="standard"))
    assert "\x1b[32mPASS" in told.getvalue()
