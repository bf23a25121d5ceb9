"""The machine and the code a result belongs to."""

from __future__ import annotations

import subprocess
from pathlib import Path

from task_lab.collect.host import git_state, library_versions, machine


def git(folder: Path, *command: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True)


def test_a_checkout_is_clean_until_something_changes(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "one")
    state = git_state(tmp_path)
    assert len(state["sha"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == {"sha": state["sha"], "dirty": True}


def test_outside_a_checkout_nothing_is_claimed(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"sha": None, "dirty": None}


def test_the_fingerprint_is_the_same_every_time() -> None:
    assert machine() == machine()
    assert len(machine()["fingerprint"]) == 12


def test_versions_name_python_and_the_platform() -> None:
    versions = library_versions()
    assert {"python", "task_platform", "httpx", "asyncpg", "aiormq"} <= set(versions)
