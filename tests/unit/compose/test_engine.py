"""The engine's command line: what an error says, and what it keeps to itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from task_lab.errors import NotReadyInTime, ProgramFailed
from task_lab.runtime.compose.engine import docker


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the client's place, which says and does what a test writes into it."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_a_failure_names_the_command_without_the_values_of_its_options(client: Path) -> None:
    client.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    with pytest.raises(ProgramFailed) as caught:
        docker("compose", "--project-name", "p", "exec", "-T", "x", deadline_s=5)
    assert caught.value.program == "docker compose exec"
    assert caught.value.program_exit_code == 3
    assert caught.value.log_tail == "no such thing"


def test_what_it_says_is_kept_also_when_all_is_well(client: Path, tmp_path: Path) -> None:
    client.write_text("#!/bin/sh\necho answer\necho progress >&2\n")
    log = tmp_path / "compose.log"
    assert docker("ps", deadline_s=5, log=log) == "answer\n"
    assert docker("ps", deadline_s=5, log=log) == "answer\n"
    assert log.read_text() == "progress\nprogress\n"


def test_one_that_does_not_answer_is_an_error(client: Path) -> None:
    client.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(NotReadyInTime):
        docker("info", deadline_s=0.2)
