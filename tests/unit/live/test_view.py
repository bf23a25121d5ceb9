"""The picture of a run as text: what it says at every size, not how it is arranged."""

from __future__ import annotations

import functools
import io

import pytest
from rich.console import Console
from task_lab.live.view import View

from tests.unit.live import story
from tests.unit.live.story import RUN_ID, START

state_at = functools.cache(story.state_at)
HINT = "Ctrl-C heals, stops the stack and keeps the partial run"


def picture(moment_s: float, *, width: int = 80, rows: int = 24, **options: object) -> list[str]:
    """Lines of the view so many seconds after the start of the story."""
    console = Console(
        record=True,
        width=width,
        height=rows,
        file=io.StringIO(),
        **{"force_terminal": True, **options},  # type: ignore[arg-type]
    )
    console.print(View(state_at(moment_s), START + moment_s, hint=HINT))
    return console.export_text(styles=False).splitlines()


@pytest.mark.parametrize(("width", "rows"), [(80, 24), (140, 40), (200, 60)])
def test_it_tells_everything_about_a_run_under_way(width: int, rows: int) -> None:
    text = "\n".join(picture(42, width=width, rows=rows))
    for told in (
        "faults · native",
        RUN_ID,
        "0:42 elapsed, load ends in 0:5",
        "effect, 3 workers, load at 400/s",
        "28 of 60 s",
        "1 of 4 phases",
        "sleep, 1 worker, step at 50/s, then 1 more",
        "offered 12,197   accepted 12,150   unknown 47   rejected 0",
        "1,068/s",
        "1.7 of 2 busy: postgres 0.52, worker 0.38, api 0.31, generator 0.20",
        "1 planned, 1 active, 1 healed",
        "healed in 5.1 s",
        "biting 3 s",
        "planned in 17 s",
        "0:39  database_restart bites",
        HINT,
    ):
        assert told in text


@pytest.mark.parametrize(("width", "rows"), [(80, 24), (140, 40), (60, 20), (40, 10), (20, 5)])
@pytest.mark.parametrize("moment_s", [0.1, 8, 12, 42, 63, 83, 95])
def test_it_fills_the_terminal_and_never_more(width: int, rows: int, moment_s: float) -> None:
    lines = picture(moment_s, width=width, rows=rows)
    assert len(lines) == rows
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith(" Ctrl-C"[:width])


def test_a_wide_terminal_says_how_the_end_was_found() -> None:
    assert "by the durations planned" in picture(42, width=140)[0]
    assert "by" not in picture(42, width=80)[0]


def test_without_faults_there_is_no_lane() -> None:
    text = "\n".join(picture(12))
    assert "faults" not in text.split("\n", 1)[1]
    assert "warmup" in text


def test_the_queue_is_not_made_up_while_nobody_can_ask() -> None:
    (line,) = (line for line in picture(40.5) if "in queue" in line)
    assert line.split()[-1] == "n/a"


def test_the_verdict_of_the_checks_is_told() -> None:
    lines = picture(83)
    assert lines[1].rstrip().endswith("PASS")
    assert "ends in" not in lines[0]


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    console = Console(file=output, force_terminal=True, width=80, height=24, no_color=True)
    console.print(View(state_at(63), START + 63, hint=HINT))
    output.flush()
    text = output.buffer.getvalue().decode("ascii")
    assert "28 of 60 s" not in text
    assert "49 of 60 s" in text
    assert "#" in text


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, height=24, _environ=None)
    console.print(View(state_at(42), START + 42))
    assert "\x1b[3" not in output.getvalue()  # foreground colours; bold and dim are none
