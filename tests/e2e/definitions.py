"""Definitions of experiments made short enough for a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from task_lab.spec import definition_path


def shortened(experiment: str, folder: Path, changes: Mapping[str, str]) -> str:
    """The path of the experiment's definition with pieces of its text changed, each found once."""
    text = definition_path(experiment).read_text("utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "short.toml"
    path.write_text(text, "utf-8")
    return str(path)
