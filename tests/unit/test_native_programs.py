"""What is not installed is told once, with the way to install it."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.errors import MissingPrograms, UsageError
from task_lab.runtime import programs


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose only folder of programs is the returned, empty one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_EXTRA_FOLDERS", ())
    return tmp_path


def test_one_error_names_every_missing_program_and_how_to_install_it(bare_machine: Path) -> None:
    with pytest.raises(MissingPrograms) as caught:
        programs.find_programs(programs.SERVERS)
    assert set(caught.value.packages) == {
        *("initdb", "postgres", "psql", "rabbitmq-server", "rabbitmqctl"),
        *("redis-server", "prometheus"),
    }
    text = str(caught.value)
    assert "make setup" in text
    assert "postgresql prometheus rabbitmq-server redis-server" in text


def test_what_is_there_is_not_called_missing(bare_machine: Path) -> None:
    redis = bare_machine / "redis-server"
    redis.touch(mode=0o755)
    assert programs.find_programs({"redis"}) == {"redis-server": redis}
    with pytest.raises(MissingPrograms) as caught:
        programs.find_programs({"redis", "prometheus"})
    assert caught.value.packages == {"prometheus": "prometheus"}


def test_an_unknown_server_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="kafka"):
        programs.find_programs({"kafka"})
