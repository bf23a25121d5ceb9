"""The state of the checkout that ran: which commit, and whether the files are still those of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

NO_CHECKOUT = dict.fromkeys(
    ("sha", "dirty", "dirty_paths", "branch", "describe", "committed_at"), None
)


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the checkout and whether it is `dirty`; all None outside a git checkout.

    dirty_paths: how many paths differ or are not known to git, never what is in them. branch: None
    where none is checked out. describe: by the nearest tag. committed_at: ISO 8601.
    """
    try:
        sha = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain").splitlines()
        return {
            "sha": sha,
            "dirty": bool(changed),
            "dirty_paths": len(changed),
            "branch": _git(folder, "branch", "--show-current") or None,
            "describe": _git(folder, "describe", "--tags", "--always"),
            "committed_at": _git(folder, "log", "-1", "--no-show-signature", "--format=%cI"),
        }
    except (OSError, subprocess.CalledProcessError):
        return dict(NO_CHECKOUT)


def _git(folder: Path, *command: str) -> str:
    # Without locks: looking must not get in the way of who commits at the same time.
    finished = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *command],
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()
