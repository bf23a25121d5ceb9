"""The named SQL statements: each says what it is for, and what it is given."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
import task_platform
from task_platform.storage import queries
from task_platform.storage.migrate import known_migrations

NAMES = sorted(queries.statements())
FOLDER = Path(str(files(task_platform)))


def comment_and_code(name: str) -> tuple[str, str]:
    """A statement's leading comment, without dashes, and its SQL."""
    lines = queries.sql(name).splitlines()
    comment = [line[2:].strip() for line in lines if line.startswith("--")]
    code = [line for line in lines if not line.lstrip().startswith("--")]
    return " ".join(comment), "\n".join(code)


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_begins_with_its_purpose(name: str) -> None:
    comment, code = comment_and_code(name)
    assert re.match(r"[A-Z].*\.", comment), "no purpose line"
    assert code.strip().endswith(";")


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_used_are_the_parameters_documented(name: str) -> None:
    comment, code = comment_and_code(name)
    used = {int(number) for number in re.findall(r"\$(\d+)", code)}
    documented = {int(number) for number in re.findall(r"\$(\d+)", comment)}
    for first, last in re.findall(r"\$(\d+) to \$(\d+)", comment):
        documented.update(range(int(first), int(last) + 1))
    assert used == set(range(1, len(used) + 1))
    assert documented == used


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        queries.sql("nope")


def test_there_is_no_sql_outside_the_files() -> None:
    verbs = re.compile(r"\"\s*(select .* from|insert into|update .* set|delete from|with .* as \()")
    guilty = [path for path in FOLDER.rglob("*.py") if verbs.search(path.read_text().lower())]
    assert guilty == []


def test_every_statement_is_asked_for_by_name() -> None:
    code = "".join(path.read_text() for path in FOLDER.rglob("*.py"))
    assert [name for name in NAMES if f'"{name}"' not in code] == []


def test_no_index_of_tasks_but_its_key() -> None:
    for _, _, text in known_migrations():
        assert not re.search(r"create\s+(unique\s+)?index\s+\S+\s+on\s+tasks\b", text)


def test_migrations_are_numbered_without_gaps() -> None:
    versions = [version for version, _, _ in known_migrations()]
    assert versions == list(range(1, len(versions) + 1))
