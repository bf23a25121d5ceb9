"""The code a result belongs to."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

from task_lab.collect.checkout import NO_CHECKOUT, git_state


def git(folder: Path, *command: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True)


def checkout(folder: Path) -> Path:
    """A checkout of one commit, on the branch `here`."""
    git(folder, "init", "--initial-branch", "here")
    (folder / "a").write_text("1")
    git(folder, "add", "a")
    git(folder, "commit", "-m", "one")
    return folder


def test_a_checkout_is_clean_until_something_changes(tmp_path: Path) -> None:
    state = git_state(checkout(tmp_path))
    assert len(state["sha"]) == 40
    assert (state["dirty"], state["dirty_paths"]) == (False, 0)
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("2")
    assert git_state(tmp_path) == {**state, "dirty": True, "dirty_paths": 2}


def test_a_checkout_is_told_by_branch_tag_and_time(tmp_path: Path) -> None:
    state = git_state(checkout(tmp_path))
    assert state["branch"] == "here"
    assert state["sha"].startswith(state["describe"])
    assert datetime.fromisoformat(state["committed_at"]).tzinfo is not None
    git(tmp_path, "tag", "v1")
    git(tmp_path, "commit", "--allow-empty", "-m", "two")
    assert git_state(tmp_path)["describe"].startswith("v1-1-g")


def test_a_commit_that_is_on_no_branch_has_none(tmp_path: Path) -> None:
    git(checkout(tmp_path), "checkout", "--detach")
    assert git_state(tmp_path)["branch"] is None


def test_outside_a_checkout_nothing_is_claimed(tmp_path: Path) -> None:
    assert git_state(tmp_path) == NO_CHECKOUT
    assert git_state(tmp_path / "nowhere") == NO_CHECKOUT


def test_a_checkout_without_a_commit_is_none_yet(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert git_state(tmp_path) == NO_CHECKOUT
