"""Watching one's own run, and one that another process makes."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from task_lab.cli import run_command
from task_lab.live.feed import Feed
from task_lab.live.follow import follow, is_final
from task_lab.live.state import RunState
from task_lab.live.watcher import Watcher, watching
from task_lab.store import RunFolder, create_run, utc_text


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create_run("throughput", {"runtime": "native"}, results=tmp_path)


def end(folder: RunFolder, verdict: str = "PASS") -> None:
    """What the last steps of a run leave."""
    folder.append_event("checked", verdict=verdict)
    folder.update_run(ended="completed", ended_at=utc_text(), verdict=verdict)
    folder.append_event("stopped", ended="completed")
    (folder / "report.html").write_text("<html>")


def test_what_happened_before_the_end_is_always_told(folder: RunFolder) -> None:
    output = io.StringIO()
    with Watcher(folder, console=Console(file=output)):
        folder.append_event("scaled", workers=3)
        folder.append_event("checked", verdict="PASS")
    assert output.getvalue().splitlines() == ["3 workers ready", "checks: PASS"]


def test_an_interrupt_that_came_as_an_exception_is_told_too(folder: RunFolder) -> None:
    output = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Watcher(folder, console=Console(file=output)):
        raise KeyboardInterrupt
    assert output.getvalue().splitlines() == [
        "interrupted: stopping what was started",
        f"the partial run is kept in {folder.path}",
    ]


def test_quiet_says_nothing(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with watching(folder, quiet=True, as_json=True):
        folder.append_event("scaled", workers=3)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_the_run_and_keeps_the_last_picture(folder: RunFolder) -> None:
    output = io.StringIO()
    with Watcher(folder, console=Console(file=output, force_terminal=True, width=80, height=24)):
        folder.append_event("scaled", workers=3)
        (folder / "history.jsonl").write_text('{"outcome": "accepted"}\n' * 7)
    left = output.getvalue().rsplit("\x1b[?1049l", 1)[-1]
    assert "3 workers ready" in left
    assert "offered" in left
    assert "Ctrl-C" not in left


def test_watching_ends_with_the_run(folder: RunFolder) -> None:
    output = io.StringIO()
    watch = threading.Thread(
        target=follow, args=(folder,), kwargs={"console": Console(file=output)}
    )
    watch.start()
    folder.append_event("scaled", workers=3)
    end(folder)
    watch.join(timeout=20)
    assert not watch.is_alive()
    assert output.getvalue().splitlines() == [
        "3 workers ready",
        "checks: PASS",
        "the stack is stopped; summary, figures and page are made",
    ]


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 1), ("INVALID", 4)])
def test_the_command_ends_as_the_run_did(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], verdict: str, code: int
) -> None:
    end(folder, verdict)
    assert run_command(["watch", str(folder.path), "--json"]) == code
    output, errors = capsys.readouterr()
    assert json.loads(output) == {"run": str(folder.path), "verdict": verdict}
    told = [json.loads(line)["event"] for line in errors.splitlines()]
    assert told[:3] == ["watching", "checked", "stopped"]


def test_the_command_refuses_what_is_no_run(tmp_path: Path) -> None:
    assert run_command(["watch", str(tmp_path)]) == 64


def test_a_run_that_is_over_is_shown_without_taking_the_screen(folder: RunFolder) -> None:
    end(folder)
    output = io.StringIO()
    follow(folder, console=Console(file=output, force_terminal=True, width=80, height=24))
    assert "\x1b[?1049" not in output.getvalue()
    assert "PASS" in output.getvalue()
    assert "finished" in output.getvalue()


def test_ctrl_c_ends_the_watching_and_says_that_the_run_goes_on(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    output = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        follow(folder, console=Console(file=output))
    assert output.getvalue() == f"no longer watching; the run goes on and writes to {folder.path}\n"


def test_a_run_is_over_with_its_report_or_when_it_says_no_more(folder: RunFolder) -> None:
    def final(silent_s: float) -> bool:
        state = RunState()
        for news in Feed(folder).looks():
            state.take(news)
        return is_final(state, folder, silent_s)

    assert not final(silent_s=120)
    assert final(silent_s=3600)  # its process was killed, and nobody is left to say so
    folder.update_run(ended="completed", ended_at=utc_text(), verdict="PASS")
    assert not final(silent_s=1)
    assert final(silent_s=120)
    (folder / "report.html").write_text("<html>")
    assert final(silent_s=0)
    folder.update_run(ended="crashed", verdict="UNKNOWN")
    assert not final(silent_s=1)
    folder.update_run(reason="KernelDied: the kernel died in cell 4")
    assert final(silent_s=0)


def test_a_dead_run_is_known_by_its_silence(folder: RunFolder) -> None:
    written_at = Feed(folder).written_at()
    assert written_at == pytest.approx(time.time(), abs=30)
    folder.append_event("scaled", workers=1)
    assert Feed(folder).written_at() >= written_at
