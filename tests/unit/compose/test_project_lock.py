"""One compose project has one owner, also where nobody has an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.runtime.compose import project
from task_lab.runtime.compose.project import ProjectInUse


def test_a12_a_compose_project_has_one_owner_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "PROJECT", tmp_path)
    owner = project._locked("lab")
    with pytest.raises(ProjectInUse, match="lab"):
        project._locked("lab")
    with project._locked("another"):
        pass
    owner.close()
    project._locked("lab").close()
