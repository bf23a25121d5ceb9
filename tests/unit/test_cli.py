"""The command line: exit codes, and what is refused before anything is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from task_lab import stack
from task_lab.cli import app, run_command
from task_lab.compose_stack import ComposeStack
from task_lab.errors import InvalidRun, RuntimeUnavailable
from task_lab.output import say_run
from task_lab.runtime import selection
from task_lab.store import create_run


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "nope"],
        ["run", "throughput", "--wrokers", "3"],
        ["run", "throughput", "--workers", "three"],
        ["run", "throughput", "--tasks", "0"],
        ["run", "throughput", "--tasks", "many"],
        ["run", "throughput", "--workloads", "som"],
        ["run", "throughput", "--runtime", "kubernetes"],
        ["bench", "--only", "drains"],
        ["bench", "--cycles", "0"],
        ["bench", "--scale", "2"],
        ["unknown-command"],
        ["report"],
    ],
)
def test_a2_bad_usage_ends_with_64_and_leaves_no_run(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results", str(tmp_path)] if arguments[0] in {"run", "bench"} else []
    assert run_command([*arguments, *where]) == 64
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "troughput"], "throughput"),
        (["run", "throughput", "--wrokers", "3"], "--workers"),
        (["run", "throughput", "--workloads", "som"], "sum"),
        (["bench", "--only", "latencies"], "latency"),
    ],
)
def test_a2_the_nearest_known_name_is_suggested(
    arguments: list[str], hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command([*arguments, "--results", str(tmp_path)])
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tasks: 3.10", "'tasks' must be int, not '3.10'"),
        ("wrokers: 1,3", "did you mean 'workers'"),
        ("tasks: 0", "tasks"),
        ("- 3", "names and their values"),
    ],
)
def test_a4_a_parameter_file_with_anything_wrong_leaves_no_run(
    text: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = tmp_path / "p.yaml", tmp_path / "results"
    file.write_text(text)
    options = ["--parameters", str(file), "--results", str(results)]
    assert run_command(["run", "throughput", *options]) == 64
    assert hint in capsys.readouterr().err
    assert not results.exists()


def test_help_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    assert "throughput" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeUnavailable("no rabbitmq"), 70),
        (InvalidRun("the generator was the limit"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("a bug"), 70),
    ],
)
def test_a10_every_kind_of_failure_has_its_own_exit_code(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> bool:
        raise error

    monkeypatch.setattr(stack, "down", fail)
    assert run_command(["down"]) == code
    assert str(error) in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    assert run_command(["report", str(tmp_path)]) == 64


def test_the_last_line_is_the_runs_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = create_run("throughput", {}, results=tmp_path)
    folder.update_run(verdict="FAIL", reason="none_lost: 1 accepted task has no row")
    say_run(folder, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["FAIL: none_lost: 1 accepted task has no row", str(folder.path)]


def test_with_json_the_output_is_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = create_run("throughput", {}, results=tmp_path)
    say_run(folder, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"run": str(folder.path), "verdict": "UNKNOWN"}


IN_CONTAINERS = {
    "runtime": "compose",
    "project": "task-platform",
    "endpoints": {"api_url": "http://127.0.0.1:8000", "grafana_url": "http://127.0.0.1:3000"},
    "log_ins": {"grafana": {"user": "admin", "password": "s3cret"}},
    "workers": [{"name": "worker-1.abc", "pid": 7}],
    "restarts": {"worker-1.abc": 2},
    "unhealthy": ["relay"],
}
STATE: dict[str, Any] = {
    "endpoints": {
        "api_url": "http://127.0.0.1:8000",
        "database_url": "postgresql://u:p$w@127.0.0.1:1/d",
        "amqp_url": "amqp://u:p'w@127.0.0.1:2/",
    },
    "workers": [{"name": "worker-2"}],
    "workers_wanted": 2,
    "restarts": {"worker-1": 3, "api": 1},
    "logs": "/logs",
}


def test_the_status_tells_how_many_workers_run_and_what_was_restarted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "read_state", lambda: STATE)
    assert run_command(["status"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["workers"] == "1 of 2 running"
    assert lines["restarts"] == "api 1, worker-1 3"


def test_a_shell_learns_where_the_tools_and_the_stack_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "read_state", lambda: STATE)
    assert run_command(["env"]) == 0
    shown = 'command -v task-lab; echo "$TASK_PLATFORM_DATABASE_URL" "$TASK_PLATFORM_AMQP_URL"'
    said = subprocess.run(
        ["sh", "-euc", capsys.readouterr().out + shown], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[0] == str(Path(sys.executable).parent / "task-lab")
    endpoints = STATE["endpoints"]
    assert said[1] == f"{endpoints['database_url']} {endpoints['amqp_url']}"


def test_without_a_stack_a_shell_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "read_state", lambda: None)
    monkeypatch.setattr(ComposeStack, "read_state", lambda _: None)
    assert run_command(["env"]) == 70
    said = capsys.readouterr()
    assert said.out == ""
    assert "make up" in said.err


@pytest.mark.parametrize(
    ("arguments", "variable", "settings"),
    [
        (["--runtime", "native"], None, {}),
        (["--handlers", "shop"], None, {"TASK_PLATFORM_HANDLERS": "shop"}),
        ([], "shop,bank", {"TASK_PLATFORM_HANDLERS": "shop,bank"}),
        (["--handlers", "shop"], "bank", {"TASK_PLATFORM_HANDLERS": "shop"}),
    ],
)
def test_handlers_of_ones_own_are_named_by_option_or_variable(
    arguments: list[str],
    variable: str | None,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, object] = {}

    def up(**options: object) -> dict[str, object]:
        asked.update(options)
        return STATE

    monkeypatch.setattr(stack, "up", up)
    monkeypatch.delenv("TASK_PLATFORM_HANDLERS", raising=False)
    if variable is not None:
        monkeypatch.setenv("TASK_PLATFORM_HANDLERS", variable)
    assert run_command(["up", *arguments]) == 0
    assert asked["settings"] == settings


def test_an_image_takes_no_handlers_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selection, "require_engine", lambda: None)
    assert run_command(["up", "--runtime", "compose", "--handlers", "shop"]) == 64
    assert "native runtime" in capsys.readouterr().err


def test_a_shell_reaches_a_stack_in_containers_through_its_api(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "read_state", lambda: None)
    monkeypatch.setattr(ComposeStack, "read_state", lambda _: IN_CONTAINERS)
    assert run_command(["env"]) == 0
    lines = capsys.readouterr().out
    echo = "docker() { printf '%s\\n' \"$*\"; }"
    script = f"{echo}\n{lines}\ntask-platform dlq show 'an id'"
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.endswith("exec -T api task-platform dlq show an id\n")


def test_a_stack_in_containers_is_described_with_its_log_ins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "read_state", lambda: None)
    monkeypatch.setattr(ComposeStack, "read_state", lambda _: IN_CONTAINERS)
    assert run_command(["status"]) == 0
    said = capsys.readouterr().out
    for part in ("http://127.0.0.1:3000", "admin s3cret", "1 running", "relay", "worker-1.abc 2"):
        assert part in said


def test_every_command_says_what_it_does() -> None:
    commands = {command.callback: command for command in app.registered_commands}
    assert {callback.__name__ for callback in commands if callback} == {
        *("run", "watch", "floor", "bench", "chaos", "mutation"),
        *("list_runs", "show_run", "open_run", "compare_runs", "reanalyse_run", "report"),
        *("reproduce_run", "export_run", "prune_runs"),
        *("up", "status", "env", "down", "doctor"),
    }
    assert all(callback and callback.__doc__ for callback in commands)
