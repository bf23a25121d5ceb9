"""What `task-platform` says when it cannot begin."""

from __future__ import annotations

from typing import NoReturn

import pytest
from task_platform import cli
from task_platform.errors import DatabaseUnavailable

VARIABLE = "TASK_PLATFORM_DATABASE_URL"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, f"the default database, as {VARIABLE} is not set: refused"),
        ("postgresql://u:secret@nowhere/x", f"the database that {VARIABLE} names: refused"),
    ],
)
def test_without_its_database_it_names_the_variable_and_never_the_value(
    value: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(**_: object) -> NoReturn:
        raise DatabaseUnavailable("refused")

    monkeypatch.setattr(cli, "app", refused)
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"task-platform: cannot use {said}\n"
