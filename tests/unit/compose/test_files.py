"""The lab's own stack: whose files it is made of, and what is added to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_lab.runtime.compose.files import (
    LabStack,
    project_name,
    read_env_file,
    stack_files,
    write_override,
)
from task_lab.runtime.ports import PortPool
from task_lab.store import PROJECT


@pytest.fixture
def stack() -> Iterator[LabStack]:
    pool = PortPool()
    yield LabStack.drawn(pool)
    pool.close()


class Loader(yaml.SafeLoader):
    """Reads what compose reads: `!reset` takes the place of a value, and here shows as None."""


Loader.add_constructor("!reset", lambda *_: None)


def load(file: Path) -> Any:
    return yaml.load(file.read_text(), Loader)


def test_another_checkout_has_another_project(tmp_path: Path) -> None:
    assert project_name() == project_name(PROJECT)
    assert project_name(tmp_path) != project_name()


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("A=1\nB=two words\n", {"A": "1", "B": "two words"}),
        ("# A=1\n\n B = 'x' \nC=\"y=z\"\nnonsense\n", {"B": "x", "C": "y=z"}),
        ("A=1\nA=2\n", {"A": "2"}),
    ],
)
def test_plain_lines_of_an_env_file_are_read(
    text: str, variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(text)
    assert read_env_file(tmp_path / ".env") == variables


def test_the_files_are_those_that_compose_itself_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    assert stack_files(tmp_path) == [tmp_path / "docker-compose.yml"]
    override = tmp_path / "docker-compose.override.yml"
    override.touch()
    assert stack_files(tmp_path) == [tmp_path / "docker-compose.yml", override]
    (tmp_path / ".env").write_text("COMPOSE_FILE=docker-compose.yml:more.yml\n")
    assert stack_files(tmp_path) == [tmp_path / "docker-compose.yml", tmp_path / "more.yml"]
    monkeypatch.setenv("COMPOSE_FILE", "other.yml")
    assert stack_files(tmp_path) == [tmp_path / "other.yml"]


def test_what_is_written_down_holds_no_password(tmp_path: Path, stack: LabStack) -> None:
    write_override(tmp_path, stack, {})
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 3
    for password in stack.passwords.values():
        assert not [text for text in written if password in text]


def test_a_variable_of_compose_does_not_lead_the_lab_astray(
    stack: LabStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_PROFILES", "alerting")
    monkeypatch.setenv("POSTGRES_PASSWORD", "of somebody else")
    variables = stack.variables()
    assert not [name for name in variables if name.startswith("COMPOSE_")]
    assert variables["POSTGRES_PASSWORD"] == stack.passwords["POSTGRES"]


def test_settings_reach_every_process_and_those_of_the_checkout_none(
    tmp_path: Path, stack: LabStack
) -> None:
    services = load(write_override(tmp_path, stack, {"TASK_PLATFORM_LEASE_S": "2"}))["services"]
    for name in ("api", "worker", "relay", "migrate"):
        assert services[name]["environment"] == {"TASK_PLATFORM_LEASE_S": "2"}
        assert services[name]["env_file"] is None


def test_every_port_that_is_added_is_on_loopback(tmp_path: Path, stack: LabStack) -> None:
    services = load(write_override(tmp_path, stack, {}))["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_keeps_its_options_but_for_what_the_lab_changes(
    tmp_path: Path, stack: LabStack
) -> None:
    base = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    usual = base["services"]["prometheus"]["command"]
    changed = load(write_override(tmp_path, stack, {}))["services"]["prometheus"]["command"]
    name = "--scrape.discovery-reload-interval="
    assert [o for o in changed if not o.startswith(name)] == [
        o for o in usual if not o.startswith(name)
    ]
    assert [o for o in changed if o.startswith(name)] == [f"{name}100ms"]
