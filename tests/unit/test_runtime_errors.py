"""Each kind of error ends a command with its own documented exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab import errors
from task_lab.runtime.compose.engine import NoEngine
from task_lab.runtime.selection import runtime_for


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.LabError, 70),
        (errors.UsageError, 64),
        (errors.InvalidRun, 4),
        (errors.Unknown, 2),
        (errors.RuntimeUnavailable, 70),
    ],
)
def test_exit_codes(kind: type[errors.LabError], code: int) -> None:
    assert kind("text").exit_code == code


def test_too_little_disk_says_how_much_there_is_and_where_to_go_instead() -> None:
    error = errors.NotEnoughDisk(Path("/data"), free_bytes=5 * 2**20, needed_bytes=2 * 2**30)
    assert (error.free_bytes, error.needed_bytes) == (5 * 2**20, 2 * 2**30)
    for part in ("/data", "5 MiB free", "2048 MiB needed", "TASK_LAB_DATA_ROOT"):
        assert part in str(error)


def test_auto_is_native_where_no_engine_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody-listens.sock")
    assert runtime_for("auto", tmp_path).name == "native"


def test_a_runtime_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="native, compose, auto"):
        runtime_for("kubernetes", tmp_path)


def test_compose_without_an_engine_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody-listens.sock")
    with pytest.raises(NoEngine, match="make compose-engine"):
        runtime_for("compose", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEngine, match="docker is not installed"):
        runtime_for("compose", tmp_path)
