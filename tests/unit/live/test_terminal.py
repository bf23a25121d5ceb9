"""The view on a real terminal: what a user sees, and what is left when it is gone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from task_lab.store import RunFolder, create_run

from tests.unit.live.terminal import (
    CTRL_C,
    ENTER_SCREEN,
    HIDE_CURSOR,
    LEAVE_SCREEN,
    SHOW_CURSOR,
    Terminal,
)

PLAYER = str(Path(__file__).with_name("player.py"))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create_run("faults", {"runtime": "native"}, results=tmp_path)


def play(folder: RunFolder, environment: Mapping[str, str] = {}) -> Terminal:
    return Terminal([PLAYER, str(folder.path)], environment=environment)


def test_ctrl_c_gives_the_terminal_back_and_says_what_is_healed_stopped_and_kept(
    folder: RunFolder,
) -> None:
    terminal = play(folder)
    terminal.wait_for("biting 1 s")
    assert terminal.output.count(ENTER_SCREEN) == 1
    assert LEAVE_SCREEN not in terminal.output
    assert "load at 150/s" in terminal.text()
    terminal.type(CTRL_C)
    assert terminal.end() == 130
    assert terminal.settings_after == terminal.settings_before
    drawn, left = terminal.output.rsplit(LEAVE_SCREEN, 1)
    assert ENTER_SCREEN not in left
    assert HIDE_CURSOR not in left
    assert drawn.rfind(SHOW_CURSOR) > drawn.rfind(HIDE_CURSOR)
    told = left.replace("\r", "")
    assert "interrupted: healing kill of worker-1, then stopping the stack" in told
    assert f"the partial run is kept in {folder.path}" in told
    assert "kill of worker-1 is healed\nthe stack is stopped, the run was interrupted" in told


def test_without_colours_nothing_is_coloured(folder: RunFolder) -> None:
    terminal = play(folder, {"NO_COLOR": "1"})
    terminal.wait_for("biting")
    terminal.type(CTRL_C)
    terminal.end()
    assert "\x1b[3" not in terminal.output
    assert "\x1b[1;3" not in terminal.output


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(folder: RunFolder) -> None:
    terminal = play(folder, {"TERM": "dumb"})
    terminal.wait_for("kill of worker-1 bites")
    terminal.type(CTRL_C)
    assert terminal.end() == 130
    assert "\x1b" not in terminal.output
    assert "the partial run is kept in" in terminal.text()


def test_with_json_standard_error_has_events_and_standard_output_nothing_of_them(
    folder: RunFolder,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-P", PLAYER, str(folder.path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr
    told = []
    for line in child.stderr:
        told.append(json.loads(line))
        if told[-1]["event"] == "progress" and told[-1]["offered"] > 50 and child.poll() is None:
            child.send_signal(signal.SIGINT)
            break
    output, errors = child.communicate(timeout=30)
    told += [json.loads(line) for line in errors.splitlines()]
    names = [event["event"] for event in told]
    assert output == ""
    assert names[0] == "watching"
    assert names.index("plan") < names.index("fault_injected") < names.index("interrupted")
    assert names.index("interrupted") < names.index("fault_healed") < names.index("stopped")
    assert names[-1] == "progress"
    assert told[-1]["faults_healed"] == 1
    interrupted = told[names.index("interrupted")]
    assert interrupted["healing"] == ["kill of worker-1"]
    assert interrupted["run"] == str(folder.path)
